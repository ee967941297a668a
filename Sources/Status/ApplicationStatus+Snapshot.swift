package import Celery
package import Collection

// What was concluded, for people: bounded texts, and everything by what it is about.

extension ApplicationStatus {
    /// - Parameters:
    ///   - expectedSchedulers: which have to be there, also while there is no sign of them.
    ///   - maximumEntries: entries of a schedule that are listed.
    ///   - search: where a beat was looked for that was not found.
    ///   - settings: how beats are looked for.
    ///   - time: now, by the exporter's clock.
    package init(
        target: String?,
        snapshot: Snapshot,
        expectedSchedulers: Set<Scheduler>,
        maximumEntries: Int,
        search: BeatSearch? = nil,
        settings: BeatSettings = BeatSettings(),
        time: Double
    ) {
        let states = snapshot.states
        self.init(target: target, time: time, collectors: snapshot.collectors)
        self.search = search
        self.settings = settings
        beats = snapshot.collectors.compactMap { collector in
            guard let scheduler = Scheduler(rawValue: collector.name) else { return nil }
            if let state = states.beats[scheduler] {
                // What the source's clock has shown, and what has passed since by the exporter's.
                let age = max(0, time - (collector.lastSuccess ?? time))
                return Beat(state, of: scheduler, maximumEntries: maximumEntries, age: age)
            }
            let isWatched = expectedSchedulers.contains(scheduler) || collector.hasBroughtState
            return isWatched && !collector.isSuccess ? Beat(scheduler: scheduler, now: time) : nil
        }
        queues = states.queues.map { state in
            state.queues.map { Queue(name: Self.shown($0.name), messages: $0.length) }
                .sorted { ($1.messages, $0.name) < ($0.messages, $1.name) }
        }
        unacked = states.queues.flatMap { state in
            state.unacked.map {
                Unacked(messages: $0, oldest: state.oldestUnacked, visibilityTimeout: state.visibilityTimeout)
            }
        }
        tasks = states.tasks.map { state in
            state.tasks.map { task in
                Task(
                    name: Self.shown(task.name),
                    successRatios: Self.ratios(task.successRatios),
                    inProgress: task.inProgress.values.reduce(0) { $0.saturated(adding: $1) }
                )
            }.sorted { $0.name < $1.name }
        }
        pipelines = states.pipelines.map { state in
            state.pipelines.map { pipeline in
                Pipeline(
                    rootTask: Self.shown(pipeline.rootTask),
                    completionRatios: Self.ratios(pipeline.completionRatios),
                    inProgress: pipeline.inProgress
                )
            }.sorted { $0.rootTask < $1.rootTask }
        }
        workers = states.workers.map { state in
            state.workers.map { Worker($0, at: time) }.sorted { $0.name < $1.name }
        }
        isConfigurationLoaded = states.process?.isConfigurationLoaded
    }

    private static func ratios(_ ratios: [SuccessRatio]) -> [Ratio] {
        ratios.map { Ratio(window: $0.window.name, value: $0.ratio) }
    }

    /// Characters of a name that are shown: foreign ones can be longer than anybody reads.
    private static let maximumText = 300

    fileprivate static func shown(_ name: String) -> String { name.bounded(maximumText) }
}

extension ApplicationStatus.Worker {
    /// Workers of whatever makes write every few seconds: after so long one is silent.
    private static let silentSeconds = 300.0

    fileprivate init(_ status: WorkerStatus, at time: Double) {
        let isSilent = status.heartbeat.map { time - $0 > Self.silentSeconds } ?? false
        self.init(
            name: ApplicationStatus.shown(status.name),
            state: !status.isOnline ? .offline : isSilent ? .silent : .online,
            heartbeat: status.heartbeat,
            activeTasks: status.activeTasks
        )
    }
}

extension ApplicationStatus.Beat {
    /// - Parameters:
    ///   - maximumEntries: entries that are listed.
    ///   - age: seconds since it was looked at.
    package init(_ state: BeatState, of scheduler: Scheduler, maximumEntries: Int = .max, age: Double = 0) {
        self.init(scheduler: scheduler, observed: state.time, now: state.time + age)
        isUp = state.isUp
        isPreliminary = state.isPreliminary
        isNowhere = state.isNowhere
        heartbeat = state.heartbeat
        deadline = state.deadline
        grace = state.grace
        maxLoopInterval = state.maxLoopInterval
        startTime = state.startTime
        instances = state.instances
        clockSkew = state.clockSkew
        lock = state.lock.map { lock in
            ApplicationStatus.Lock(
                isHeld: lock.isHeld,
                timeToLive: lock.isHeld ? lock.timeToLive.flatMap { $0 > 0 ? $0 : nil } : nil,
                timeout: lock.timeout
            )
        }
        guard let schedule = state.schedule else { return }
        lastTask = schedule.lastTaskTime
        nextDue = schedule.nextDue
        entryCount = schedule.entryCount
        disabledCount = schedule.disabledCount
        invalidCount = schedule.invalidCount
        entries = schedule.entries.prefix(maximumEntries).map(entry).sorted { left, right in
            // Of those that are late the latest comes first.
            let (leftLate, rightLate) = (
                left.state == .late ? left.overdue ?? 0 : 0, right.state == .late ? right.overdue ?? 0 : 0
            )
            return leftLate == rightLate ? (left.name, left.task) < (right.name, right.task) : leftLate > rightLate
        }
    }

    private func entry(_ entry: BeatEntryState) -> ApplicationStatus.Entry {
        ApplicationStatus.Entry(
            name: ApplicationStatus.shown(entry.name),
            task: ApplicationStatus.shown(entry.task),
            state: entry.isEnabled ? state(entry.overdue) : .off,
            lastRun: entry.lastRun,
            nextDue: entry.nextDue,
            overdue: entry.overdue,
            runs: entry.runs
        )
    }

    private func state(_ late: Double?) -> ApplicationStatus.Entry.State {
        guard let late else { return .unknown }
        return late > tolerance ? .late : late > 0 ? .due : .onTime
    }
}

extension String {
    /// Cut after so many characters; then it ends with an ellipsis.
    func bounded(_ maximum: Int) -> String {
        // A text has no more characters than bytes, so short ones need not be counted.
        guard utf8.count > maximum, unicodeScalars.count > maximum else { return self }
        return String(unicodeScalars.prefix(maximum)) + "…"
    }
}
