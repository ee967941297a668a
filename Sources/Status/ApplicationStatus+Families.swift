package import Collection
package import Exposition

// What is served as metrics, put together by what it is about.

extension ApplicationStatus {
    /// - Parameters:
    ///   - families: all that the snapshot holds.
    ///   - expectedSchedulers: which have to be there, also while there is no sign of them.
    ///   - search: where a beat was looked for that was not found.
    ///   - time: now, by the exporter's clock.
    package init(
        target: String?,
        families: [MetricFamily],
        collectors: [CollectorHealth],
        expectedSchedulers: Set<String>,
        search: BeatSearch? = nil,
        time: Double
    ) {
        let index = FamilyIndex(families)
        self.init(target: target, time: time, collectors: collectors)
        self.search = search
        beats = collectors.compactMap { collector in
            guard Self.schedulers.contains(collector.name) else { return nil }
            let isWatched = expectedSchedulers.contains(collector.name) || collector.hasBroughtFamilies
            let isSeen = index.value("celery_beat_observed_timestamp_seconds", .scheduler(collector.name)) != nil
            return isSeen || (isWatched && !collector.isSuccess) ? Beat(index, collector, at: time) : nil
        }
        queues = Self.queues(index)
        unacked = Self.unacked(index)
        tasks = Self.tasks(index)
        pipelines = Self.pipelines(index)
        workers = Self.workers(index, at: time)
        isConfigurationLoaded = index.value("celery_beat_exporter_config_last_reload_successful").map { $0 == 1 }
    }

    private static func queues(_ index: FamilyIndex) -> [Queue]? {
        guard index.contains("celery_queue_length") else { return nil }
        return index.samples("celery_queue_length").compactMap { sample in
            guard let name = sample["queue_name"], let messages = Int(exactly: sample.value) else { return nil }
            return Queue(name: name, messages: messages)
        }.sorted { ($1.messages, $0.name) < ($0.messages, $1.name) }
    }

    private static func unacked(_ index: FamilyIndex) -> Unacked? {
        index.count("celery_unacked_messages").map { messages in
            Unacked(
                messages: messages,
                oldest: index.value("celery_oldest_unacked_timestamp_seconds"),
                visibilityTimeout: index.value("celery_unacked_visibility_timeout_seconds")
            )
        }
    }

    private static func tasks(_ index: FamilyIndex) -> [Task]? {
        guard index.contains("celery_task_success_ratio") else { return nil }
        var tasks: [String: Task] = [:]
        func change(_ sample: Sample, _ body: (inout Task) -> Void = { _ in }) {
            guard let name = sample.whole("task_name") else { return }
            body(&tasks[name, default: Task(name: name.bounded(Sample.maximumText))])
        }
        for sample in index.samples("celery_task_results_total") { change(sample) }
        for sample in index.samples("celery_task_success_ratio") {
            guard let window = sample["window"] else { continue }
            change(sample) { $0.successRatios.append(Ratio(window: window, value: sample.value)) }
        }
        for sample in index.samples("celery_task_in_progress") {
            guard let count = Int(exactly: sample.value) else { continue }
            change(sample) { $0.inProgress = $0.inProgress.saturated(adding: count) }
        }
        return tasks.values.sorted { $0.name < $1.name }
    }

    private static func pipelines(_ index: FamilyIndex) -> [Pipeline]? {
        guard index.contains("celery_pipelines_in_progress") else { return nil }
        var pipelines: [String: Pipeline] = [:]
        func change(_ sample: Sample, _ body: (inout Pipeline) -> Void) {
            guard let root = sample.whole("root_task_name") else { return }
            body(&pipelines[root, default: Pipeline(rootTask: root.bounded(Sample.maximumText))])
        }
        for sample in index.samples("celery_pipelines_in_progress") {
            guard let count = Int(exactly: sample.value) else { continue }
            change(sample) { $0.inProgress = count }
        }
        for sample in index.samples("celery_pipeline_completion_ratio") {
            guard let window = sample["window"] else { continue }
            change(sample) { $0.completionRatios.append(Ratio(window: window, value: sample.value)) }
        }
        return pipelines.values.sorted { $0.rootTask < $1.rootTask }
    }

    /// Workers of whatever makes write every few seconds: after so long one is silent.
    private static let silentSeconds = 300.0

    private static func workers(_ index: FamilyIndex, at time: Double) -> [Worker]? {
        guard index.contains("celery_worker_table_status") else { return nil }
        let heartbeats = index.values("celery_worker_table_heartbeat_timestamp_seconds")
        let active = index.values("celery_worker_table_active_tasks")
        return index.samples("celery_worker_table_status").compactMap { sample in
            guard let name = sample["worker_name"] else { return nil }
            let heartbeat = heartbeats[sample.labels]
            let isSilent = heartbeat.map { time - $0 > silentSeconds } ?? false
            return Worker(
                name: name,
                state: sample.value != 1 ? .offline : isSilent ? .silent : .online,
                heartbeat: heartbeat,
                activeTasks: active[sample.labels].flatMap { Int(exactly: $0) }
            )
        }.sorted { $0.name < $1.name }
    }
}

extension ApplicationStatus.Beat {
    /// What one collection brought of a beat, at that moment; nil where it saw none.
    package init?(_ collected: Collected, of scheduler: String) {
        var collector = CollectorHealth(name: scheduler, source: nil)
        collector.note(.success(collected), at: 0)
        self.init(FamilyIndex(collected.families), collector, at: 0)
        guard observed != nil else { return nil }
    }

    fileprivate init(_ index: FamilyIndex, _ collector: CollectorHealth, at time: Double) {
        let label = Label.scheduler(collector.name)
        let observed = index.value("celery_beat_observed_timestamp_seconds", label)
        // What the source's clock has shown, and what has passed since by the exporter's.
        let now = observed.map { $0 + max(0, time - (collector.lastSuccess ?? time)) } ?? time
        self.init(scheduler: collector.name, observed: observed, now: now)
        isUp = index.value("celery_beat_up", label).map { $0 == 1 }
        isPreliminary = collector.isPreliminary
        isNowhere = collector.isEmptyHanded
        heartbeat = index.value("celery_beat_scheduler_heartbeat", label)
        deadline = index.value("celery_beat_deadline_timestamp_seconds", label)
        grace = index.value("celery_beat_grace_seconds", label)
        maxLoopInterval = index.value("celery_beat_max_loop_interval_seconds", label)
        startTime = index.value("celery_beat_start_time_seconds", label)
        instances = index.count("celery_beat_instances", label)
        clockSkew = index.value("celery_beat_clock_skew_seconds", label)
        lock = index.value("celery_beat_lock_held", label).map { held in
            // 0 is also what a lock without an end has.
            let timeToLive = index.value("celery_beat_lock_ttl_seconds", label) ?? 0
            return ApplicationStatus.Lock(
                isHeld: held == 1,
                timeToLive: held == 1 && timeToLive > 0 ? timeToLive : nil,
                timeout: index.value("celery_beat_lock_timeout_seconds", label)
            )
        }
        lastTask = index.value("celery_beat_last_task_time", label)
        nextDue = index.value("celery_beat_schedule_next_due_timestamp_seconds", label)
        entryCount = index.count("celery_beat_schedule_entries", label)
        disabledCount = index.count("celery_beat_schedule_disabled_entries", label)
        invalidCount = index.count("celery_beat_schedule_invalid_entries", label)
        entries = entries(index, label)
    }

    private func entries(_ index: FamilyIndex, _ label: Label) -> [ApplicationStatus.Entry] {
        let overdue = index.values("celery_beat_entry_overdue_seconds")
        let lastRun = index.values("celery_beat_entry_last_run_timestamp_seconds")
        let nextDue = index.values("celery_beat_entry_next_due_timestamp_seconds")
        let runs = index.values("celery_beat_entry_runs_total")
        return index.samples("celery_beat_entry_enabled").filter { $0.labels.contains(label) }.map { sample in
            let entry = sample.labels
            let late = overdue[entry]
            return ApplicationStatus.Entry(
                name: sample["entry"] ?? "",
                task: sample["task_name"] ?? "",
                state: sample.value != 1 ? .off : state(late),
                lastRun: lastRun[entry],
                nextDue: nextDue[entry],
                overdue: late,
                runs: runs[entry].flatMap { Int(exactly: $0) }
            )
        }.sorted { left, right in
            // Of those that are late the latest comes first.
            let (leftLate, rightLate) = (
                left.state == .late ? left.overdue ?? 0 : 0, right.state == .late ? right.overdue ?? 0 : 0
            )
            return leftLate == rightLate ? (left.name, left.task) < (right.name, right.task) : leftLate > rightLate
        }
    }

    private func state(_ late: Double?) -> ApplicationStatus.Entry.State {
        guard let late else { return .unknown }
        return late > tolerance ? .late : late > 0 ? .due : .onTime
    }
}

extension Label {
    fileprivate static func scheduler(_ name: String) -> Label { Label("scheduler", name) }
}
