/// When a live RedBeat ticks again, worked out as beat itself does.
///
/// At a tick beat evaluates the entries whose score has passed, and one more: the first whose score lies within the loop
/// interval. It then sleeps until the earliest time at which one of these is truly due, at most for the loop interval.
/// Source: redbeat/schedulers.py, `RedBeatScheduler.schedule` and `tick`.
///
/// Only the evaluated entries count. After a restart scores are too early by up to a whole interval, so that beat may
/// sleep past the due time of an entry it did not look at: it lives all the same.
enum RedBeatWake {
    /// What is needed of an entry.
    struct Candidate: Equatable {
        var score: Double
        var isEnabled: Bool
        /// Nil when never due again.
        var due: Double?
        var lastRun: Double?
        var hasRun: Bool
    }

    /// How far beat's clock and Redis's may be apart when a run is matched with a tick, in seconds.
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
        var wake = tick + maxLoopInterval
        var hasPeeked = false
        for candidate in candidates where candidate.isEnabled {
            let ranAtTick = (candidate.lastRun ?? -.infinity) >= tick - clockTolerance
            // Stored after the tick: beat, asleep, does not know it yet.
            if ranAtTick, !candidate.hasRun { continue }
            if hasScores, candidate.score > tick, !ranAtTick {
                if hasPeeked || candidate.score > tick + maxLoopInterval { continue }
                hasPeeked = true
            }
            if let due = candidate.due, due > tick { wake = min(wake, due) }
        }
        return wake
    }

    /// Whether the tick may still be at work: an entry it must send has not been sent. Its wake is not yet final.
    static func isUnfinished(tick: Double, candidates: [Candidate]) -> Bool {
        candidates.contains { candidate in
            guard candidate.isEnabled, let due = candidate.due else { return false }
            return candidate.score >= 0 && candidate.score <= tick && due <= tick
        }
    }
}
