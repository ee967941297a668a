/// When a live RedBeat ticks again, worked out as beat itself does.
///
/// At a tick beat evaluates the entries whose score has passed, and one more: the first whose score lies within the loop
/// interval. It sends what is due, and from the end of the tick sleeps for the least time that any of these had left when
/// it was evaluated, at most for the loop interval. Source: redbeat/schedulers.py, `RedBeatScheduler.schedule` and `tick`;
/// celery/beat.py, `Service.start`.
///
/// Only the evaluated entries count. After a restart scores are too early by up to a whole interval, so that beat may
/// sleep past the due time of an entry it did not look at: it lives all the same.
enum RedBeatWake {
    /// What is needed of an entry.
    struct Candidate: Equatable {
        var score: Double
        var isEnabled: Bool
        /// Nil when never due again, and when the time is not certain: an uncertain one could be too early.
        var due: Double?
        /// Before the first run it is when the entry was stored.
        var lastRun: Double?
        /// Whether beat knows it: it has run, or was there before this beat's first tick.
        var isKnown: Bool
    }

    /// How far beat's clock and Redis's may be apart when runs and due times are matched with a tick, in seconds.
    private static let clockTolerance = 0.5

    /// The next wake after a tick.
    ///
    /// - Parameter candidates: in the order of the sorted set.
    static func after(
        tick: Double,
        candidates: [Candidate],
        maxLoopInterval: Double,
        hasScores: Bool
    ) -> Double {
        var leastRemaining = maxLoopInterval
        // Sending takes time, and beat sleeps only after it.
        var end = tick
        var hasPeeked = false
        for candidate in candidates {
            let ranAtTick = (candidate.lastRun ?? -.infinity) >= tick - clockTolerance
            // Stored after the tick: beat, asleep, does not know it yet.
            if ranAtTick, !candidate.isKnown { continue }
            if hasScores, candidate.score > tick, !ranAtTick {
                if hasPeeked || candidate.score > tick + maxLoopInterval { continue }
                // Beat looks at one entry ahead, even where that one is switched off.
                hasPeeked = true
            }
            guard candidate.isEnabled else { continue }
            let evaluated = ranAtTick ? max(tick, candidate.lastRun ?? tick) : tick
            if ranAtTick { end = max(end, evaluated) }
            if let due = candidate.due, due > tick { leastRemaining = min(leastRemaining, due - evaluated) }
        }
        return end + max(0, leastRemaining)
    }

    /// Whether the tick may still be at work: an entry it must send has not been sent. Its wake is not yet final.
    static func isUnfinished(tick: Double, candidates: [Candidate]) -> Bool {
        candidates.contains { candidate in
            guard candidate.isEnabled, let due = candidate.due else { return false }
            return candidate.score >= 0 && max(candidate.score, due) <= tick + clockTolerance
        }
    }
}
