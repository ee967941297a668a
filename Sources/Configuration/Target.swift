package import Celery
package import Metrics
package import Postgres
package import Redis

/// One Celery application to watch.
package struct Target: Equatable, Sendable {
    package var broker: Broker?
    package var redBeatAddress: RedisAddress?
    package var redBeat = RedBeatConfiguration()
    /// Seconds of `beat_max_loop_interval` of a beat with django-celery-beat, where it was given for that alone.
    package var djangoMaxLoopInterval: Double?
    package var queues = QueueConfiguration()
    package var database: PostgresAddress?
    package var tasks = TaskConfiguration()
    package var maximumWorkers = Setting.maximumWorkers.absent
    package var maximumEntrySeries = Setting.maximumEntrySeries.absent
    /// Which schedulers to look for; nil for all there are signs of.
    package var schedulers: Set<Scheduler>?
    /// What a beat that leaves no trace but its tasks is expected to do; empty where there is none.
    package var expectedEntries: [ExpectedEntry] = []
    /// Which nodes of Celery's remote control are beats to ask; nil for none.
    package var pingPattern: String?

    /// What was understood otherwise than it may have been meant; for the log.
    package var warnings: [String] = []

    /// None, with the default of each setting.
    package init() {}

    /// Whether there is anything to read.
    package var hasSources: Bool { redBeatAddress != nil || database != nil }

    /// What is shown of what is read.
    package var metrics: MetricSettings {
        MetricSettings(maximumEntrySeries: maximumEntrySeries, durationBounds: tasks.durationBounds)
    }

    /// The schedulers that must be there, also while there is no sign of them.
    package var expectedSchedulers: Set<Scheduler> {
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
    package func djangoMaxLoopInterval(besideRedBeat: Bool) -> Double? {
        djangoMaxLoopInterval ?? (besideRedBeat || redBeat.isExpected ? nil : redBeat.maxLoopInterval)
    }

    /// Whether to look for a scheduler.
    package func looksFor(_ scheduler: Scheduler) -> Bool {
        schedulers?.contains(scheduler) ?? true
    }
}
