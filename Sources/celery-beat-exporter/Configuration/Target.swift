internal import Celery
internal import Metrics
internal import Postgres
internal import Redis

/// One Celery application to watch.
struct Target: Equatable, Sendable {
    var broker: RedisAddress?
    var redBeatAddress: RedisAddress?
    var redBeat = RedBeatConfiguration()
    /// Seconds of `beat_max_loop_interval` of a beat with django-celery-beat, where it was given for that alone.
    var djangoMaxLoopInterval: Double?
    var queues = QueueConfiguration()
    var database: PostgresAddress?
    var tasks = TaskConfiguration()
    var maximumWorkers = 1000
    var maximumEntrySeries = 1000
    /// Which schedulers to look for; nil for all there are signs of.
    var schedulers: Set<Scheduler>?
    /// What a beat that leaves no trace but its tasks is expected to do; empty where there is none.
    var expectedEntries: [ExpectedEntry] = []
    /// Which nodes of Celery's remote control are beats to ask; nil for none.
    var pingPattern: String?

    /// What was understood otherwise than it may have been meant; for the log.
    var warnings: [String] = []

    /// Whether there is anything to read.
    var hasSources: Bool { redBeatAddress != nil || database != nil }

    /// What is shown of what is read.
    var metrics: MetricSettings {
        MetricSettings(maximumEntrySeries: maximumEntrySeries, durationBounds: tasks.durationBounds)
    }

    /// The schedulers that must be there, also while there is no sign of them.
    var expectedSchedulers: Set<Scheduler> {
        if let schedulers { return schedulers }
        var expected: Set<Scheduler> = []
        if redBeat.isExpected { expected.insert(.redbeat) }
        if !expectedEntries.isEmpty { expected.insert(.evidence) }
        if pingPattern != nil { expected.insert(.ping) }
        return expected
    }

    /// Seconds of `beat_max_loop_interval` of a beat with django-celery-beat; nil for its default.
    ///
    /// Each scheduler is a beat of its own with an interval of its own: `--beat.max-loop-interval` is RedBeat's where there
    /// is a RedBeat.
    func djangoMaxLoopInterval(besideRedBeat: Bool) -> Double? {
        djangoMaxLoopInterval ?? (besideRedBeat || redBeat.isExpected ? nil : redBeat.maxLoopInterval)
    }

    /// Whether to look for a scheduler.
    func looksFor(_ scheduler: Scheduler) -> Bool {
        schedulers?.contains(scheduler) ?? true
    }
}
