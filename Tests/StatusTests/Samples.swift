import Reading

@testable import Celery
@testable import Collection
@testable import Status

/// What tests put together as the snapshot would.
enum Samples {
    static let now = 1_795_269_807.5
    /// When beats were looked at, a second ago, by a clock that is an hour ahead.
    static let observed = now + 3600 - 1

    /// A collector whose last collection brought a state a second ago.
    static func reading(_ name: String, _ source: String?) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: source)
        health.note(.success(Reading(1)), at: now - 1)
        return health
    }

    /// One that has failed ever since ten minutes ago, and, unless it never did, had worked until then.
    static func failing(_ name: String, _ source: String, hasWorked: Bool = true) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: source)
        if hasWorked { health.note(.success(Reading(1)), at: now - 610) }
        let failure = Result<Reading<Int>, SourceError>.failure(
            SourceError(.connect, "connect to \(source):1: refused")
        )
        for age in [600.0, 10] { health.note(failure, at: now - age) }
        return health
    }

    /// One of which nothing is known yet.
    static func pending(_ name: String, _ source: String) -> CollectorHealth {
        CollectorHealth(name: name, source: source)
    }

    /// One beat, with its schedule where the test has something to say of that.
    static func beat(isUp: Bool?, _ change: (inout BeatState) -> Void = { _ in }) -> BeatState {
        var beat = BeatState(
            time: observed,
            isUp: isUp,
            heartbeat: observed - 9,
            deadline: observed + 21,
            maxLoopInterval: 30,
            grace: 2
        )
        change(&beat)
        return beat
    }

    static func lock(isHeld: Bool, timeToLive: Double? = nil, timeout: Double? = nil) -> LockState {
        LockState(isHeld: isHeld, timeToLive: timeToLive, timeout: timeout, acquisitions: 0)
    }

    static func schedule(
        _ entries: [BeatEntryState] = [],
        count: Int? = nil,
        disabled: Int = 0,
        invalid: Int = 0
    ) -> ScheduleState {
        ScheduleState(
            entries: entries,
            entryCount: count ?? entries.count,
            disabledCount: disabled,
            invalidCount: invalid
        )
    }

    static func entry(_ name: String, _ task: String, overdue: Double? = 0, isEnabled: Bool = true) -> BeatEntryState {
        BeatEntryState(name: name, task: task, isEnabled: isEnabled, overdue: overdue)
    }

    static func queues(_ lengths: [(name: String, messages: Int)]) -> QueueState {
        QueueState(
            queues: lengths.map { name, messages in
                QueueDepth(
                    name: name,
                    priorities: [PriorityDepth(priority: 0, length: messages)],
                    usesPriorities: false
                )
            },
            visibilityTimeout: 3600
        )
    }

    /// - Parameter ratio: over 5 minutes, in hundredths of a percent.
    static func task(_ name: String, ratio: Int? = nil, inProgress: [String: Int] = [:]) -> TaskAggregate {
        TaskAggregate(
            name: name,
            results: [:],
            successRatios: ratio.map { [SuccessRatio(window: fiveMinutes, successes: $0, ended: 10_000)] } ?? [],
            durationSum: 0,
            inProgress: inProgress
        )
    }

    static let fiveMinutes = TaskWindow(name: "5m", seconds: 300)
    static let hour = TaskWindow(name: "1h", seconds: 3600)

    static func tasks(_ tasks: [TaskAggregate]) -> TaskState { TaskState(tables: [:], tasks: tasks, foldedNames: 0) }

    static func pipeline(_ root: String, inProgress: Int) -> PipelineAggregate {
        PipelineAggregate(rootTask: root, inProgress: inProgress, durationCounts: [])
    }

    static func process(isConfigurationLoaded: Bool) -> ProcessState {
        ProcessState(
            version: "1",
            cpuSeconds: 0,
            residentBytes: 0,
            virtualBytes: 0,
            isConfigurationLoaded: isConfigurationLoaded,
            configurationLoaded: now
        )
    }

    static func states(_ change: (inout ObservedStates) -> Void) -> ObservedStates {
        var states = ObservedStates()
        change(&states)
        return states
    }

    static func status(
        _ beats: [Scheduler: BeatState],
        _ collectors: [CollectorHealth],
        target: String? = nil,
        expecting schedulers: Set<Scheduler> = []
    ) -> ApplicationStatus {
        status(states { $0.beats = beats }, collectors, target: target, expecting: schedulers)
    }

    static func status(
        _ states: ObservedStates,
        _ collectors: [CollectorHealth],
        target: String? = nil,
        expecting schedulers: Set<Scheduler> = []
    ) -> ApplicationStatus {
        ApplicationStatus(
            target: target,
            snapshot: Snapshot(states: states, collectors: collectors),
            expectedSchedulers: schedulers,
            maximumEntries: 1000,
            time: now
        )
    }

    /// An application of which everything is known.
    static var full: ApplicationStatus {
        let states = states { states in
            states.beats[.redbeat] = beat(isUp: true) { beat in
                beat.lock = lock(isHeld: true, timeToLive: 141, timeout: 150)
                beat.startTime = observed - 3000
                beat.instances = 1
                beat.clockSkew = 0
                var nightly = entry("nightly", "shop.close")
                nightly.lastRun = observed - 90_000
                nightly.nextDue = observed + 3600
                nightly.runs = 7
                let entries = [
                    nightly, entry("often", "often", overdue: 100), entry("off", "shop.off", isEnabled: false),
                ]
                beat.schedule = schedule(entries, count: 4, disabled: 1, invalid: 1)
                beat.schedule?.lastTaskTime = observed - 9
                beat.schedule?.nextDue = observed + 21
            }
            states.queues = queues([("celery", 2), ("mail", 12_345)])
            states.queues?.unacked = 3
            states.queues?.oldestUnacked = now - 60
            var close = task("shop.close", ratio: 9996, inProgress: ["STARTED": 2, "RETRY": 1])
            close.successRatios.append(SuccessRatio(window: hour, successes: 1, ended: 2))
            states.tasks = tasks([task("shop.idle"), close])
            var pipeline = pipeline("shop.import", inProgress: 4)
            pipeline.completionRatios = [SuccessRatio(window: hour, successes: 1, ended: 1)]
            states.pipelines = PipelineState(pipelines: [pipeline])
            states.workers = WorkerState(
                workers: [
                    WorkerStatus(name: "a@h", isOnline: true, heartbeat: now - 2, activeTasks: 5),
                    WorkerStatus(name: "b@h", isOnline: false),
                ],
                queues: []
            )
            states.process = process(isConfigurationLoaded: true)
        }
        return status(
            states,
            [
                reading("process", nil), reading("redbeat", "redbeat"), reading("queues", "broker"),
                reading("tasks", "database"), failing("workers", "database"),
            ]
        )
    }
}
