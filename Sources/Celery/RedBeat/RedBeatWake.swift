/// When a live RedBeat must show life again after a tick, worked out as beat itself does.
///
/// At a tick beat loads the entries whose score has passed, one after the other, and one more: the first whose score lies
/// within the loop interval. Then it evaluates them, sends what is due, and from the end of the tick sleeps for the least
/// time that any of these had left when it was evaluated, at most for the loop interval. Source: redbeat/schedulers.py,
/// `RedBeatScheduler.schedule` and `tick`; celery/beat.py, `Service.start`.
///
/// Only the evaluated entries count. After a restart scores are too early by up to a whole interval, so that beat may
/// sleep past the due time of an entry it did not look at: it is alive all the same.
struct RedBeatWake: Equatable {
    /// When the next sign of life must come: the next tick or, while this one is at work, the next run.
    var time: Double
    /// Whether the tick may still be at work, so that `time` will move with what it sends.
    var isAtWork: Bool
    /// Entries that the tick loads.
    var loadedCount: Int
    /// When the tick sent what it has sent so far, in order.
    var runs: [Double]

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
        /// Whether a tick that finds it due is sure to send it. Beat may skip a crontab that is late
        /// (`beat_cron_starting_deadline`), and what an earlier tick has passed over.
        var isSentWhenDue: Bool
    }

    /// How far beat's clock and Redis's may be apart when runs and due times are matched with a tick, in seconds.
    private static let clockTolerance = 0.5

    /// - Parameters:
    ///   - tick: when beat extended its lock or last touched the schedule.
    ///   - now: when the candidates were read, at the latest.
    ///   - candidates: in the order of the sorted set.
    ///   - hasScores: whether their scores are known; else beat may have looked at any of them.
    init(
        tick: Double,
        now: Double,
        candidates: [Candidate],
        maxLoopInterval: Double,
        hasScores: Bool,
        pace: RedBeatPace
    ) {
        var leastRemaining = maxLoopInterval
        var runs: [Double] = []
        var loadedCount = 0
        var hasPeeked = false
        // Due at the tick and not sent; due since the tick and not sent.
        var isPending = false
        var isSureToSend = false
        var late: [Double] = []
        for candidate in candidates {
            // A last run that is yet to come was written by someone else, or by another clock.
            let lastRun = candidate.lastRun.flatMap { $0 <= now + Self.clockTolerance ? $0 : nil }
            let ranAtTick = (lastRun ?? -.infinity) >= tick - Self.clockTolerance
            // Stored after the tick: beat, asleep, does not know it yet.
            if ranAtTick, !candidate.isKnown { continue }
            if hasScores, candidate.score > tick, !ranAtTick {
                if hasPeeked || candidate.score > tick + maxLoopInterval { continue }
                // Beat looks at one entry ahead, even where that one is switched off.
                hasPeeked = true
            }
            if hasScores || (candidate.due ?? .infinity) <= tick { loadedCount += 1 }
            guard candidate.isEnabled else { continue }
            let evaluated = ranAtTick ? max(tick, lastRun ?? tick) : tick
            if ranAtTick { runs.append(evaluated) }
            guard let due = candidate.due, candidate.score >= 0 else { continue }
            if due > now || ranAtTick {
                if due > tick { leastRemaining = min(leastRemaining, due - evaluated) }
            } else if due > tick {
                late.append(due)
            } else if candidate.score <= tick + Self.clockTolerance {
                isPending = true
                isSureToSend = isSureToSend || candidate.isSentWhenDue
            }
        }
        runs.sort()
        self.runs = runs
        self.loadedCount = loadedCount

        let loaded = runs.first ?? tick + pace.loading(loadedCount)
        // Sending takes time, and beat sleeps only after it.
        let end = max(loaded, runs.last ?? tick)
        // What fell due while the tick was at work was sent by it, or is what beat slept for.
        let sleepEnd = late.map { $0 > end ? $0 : end + max(pace.pause, $0 - tick) }
            .reduce(end + max(0, leastRemaining), min)
        if isPending {
            // What beat may pass over promises nothing.
            time = isSureToSend ? end + pace.pause : max(end + pace.pause, sleepEnd)
        } else {
            time = sleepEnd
        }
        isAtWork =
            isPending || late.contains { $0 <= end }
            ? now - end < RedBeatPace.longestPause : runs.isEmpty && now < loaded
    }
}

/// How fast beat works through a tick, learnt from when it sent what.
struct RedBeatPace {
    /// Seconds that loading one entry took: one round trip of beat to its Redis. Nil until seen.
    private var loadingEach: Double?
    /// The longest that was seen between two runs of one tick, in seconds.
    private var longestGap = 0.0

    /// No tick rests longer than this between two runs, in seconds.
    static let longestPause = 60.0
    /// What loading an entry is given until it was seen: a Redis far away.
    private static let unseenLoadingEach = 0.05
    /// So many entries are loaded within the grace.
    private static let uncounted = 10
    /// A machine may be that many times slower than it was.
    private static let reserve = 4.0
    /// The least that sending one task is given, in seconds: beat may have to connect to its broker.
    private static let leastPause = 5.0

    /// How long loading so many entries may take, in seconds.
    func loading(_ count: Int) -> Double {
        guard count > Self.uncounted else { return 0 }
        let each = loadingEach.map { min(max($0 * Self.reserve, 0.005), 1) } ?? Self.unseenLoadingEach
        return Double(count) * each
    }

    /// How long beat may take from one run to the next while it has more to send, in seconds.
    var pause: Double { min(max(longestGap * Self.reserve, Self.leastPause), Self.longestPause) }

    mutating func observe(_ wake: RedBeatWake, tick: Double) {
        guard let first = wake.runs.first, wake.loadedCount > Self.uncounted else { return }
        let each = max(0, first - tick) / Double(wake.loadedCount)
        // What was slow once may be slow again, yet not for ever.
        loadingEach = max(each, (loadingEach ?? 0) * 0.9)
        let gap = zip(wake.runs, wake.runs.dropFirst()).map { $1 - $0 }.max() ?? 0
        longestGap = max(gap, longestGap * 0.9)
    }
}
