package import Celery
package import Exposition

/// What is told of a beat, whatever its scheduler.
package enum BeatFamilies {
    /// The families of one beat. Values that are not known are left out.
    package static func families(of state: BeatState, scheduler: String, maximumEntrySeries: Int) -> [MetricFamily] {
        let label = Label("scheduler", scheduler)
        func family(_ family: MetricFamily, _ value: Double?) -> MetricFamily {
            family.with(value.map { [Sample($0, labels: [label])] } ?? [])
        }
        let lock = state.lock
        let schedule = state.schedule
        return [
            family(observed, state.time),
            family(up, state.isUp.map { $0 ? 1 : 0 }),
            family(heartbeat, state.heartbeat),
            family(deadline, state.deadline),
            family(lockHeld, lock.map { $0.isHeld ? 1 : 0 }),
            family(lockTimeToLive, lock.map { $0.timeToLive ?? 0 }),
            family(lockTimeout, lock?.timeout),
            family(lockAcquisitions, lock.map { Double($0.acquisitions) }),
            family(startTime, state.startTime),
            family(instances, state.instances.map(Double.init)),
            family(maxLoopInterval, state.maxLoopInterval),
            family(grace, state.grace),
            family(clockSkew, state.clockSkew),
            family(entries, schedule.map { Double($0.entryCount) }),
            family(disabledEntries, schedule.map { Double($0.disabledCount) }),
            family(invalidEntries, schedule.map { Double($0.invalidCount) }),
            family(nextDue, schedule?.nextDue),
            family(lastTaskTime, schedule?.lastTaskTime),
            tasksSent.with(
                (schedule?.tasksSent ?? [:]).sorted { $0.key < $1.key }.map {
                    Sample(Double($0.value), labels: [label, Label("task_name", $0.key)])
                }
            ),
        ] + entryFamilies(of: (schedule?.entries ?? []).prefix(maximumEntrySeries), label: label)
    }

    private static func entryFamilies(of entries: ArraySlice<BeatEntryState>, label: Label) -> [MetricFamily] {
        func family(_ family: MetricFamily, _ value: (BeatEntryState) -> Double?) -> MetricFamily {
            family.with(
                entries.compactMap { entry in
                    value(entry).map {
                        Sample($0, labels: [label, Label("entry", entry.name), Label("task_name", entry.task)])
                    }
                }
            )
        }
        return [
            family(entryOverdue) { $0.overdue },
            family(entryLastRun) { $0.lastRun },
            family(entryNextDue) { $0.nextDue },
            family(entryEnabled) { $0.isEnabled ? 1 : 0 },
            family(entryRuns) { $0.runs.map(Double.init) },
        ]
    }

    // MARK: Families

    private static let up = MetricFamily(
        "celery_beat_up",
        help:
            "1 while a beat demonstrably lives: not later than its deadline plus grace, and holding the lock where one is used.",
        type: .gauge
    )
    private static let observed = MetricFamily(
        "celery_beat_observed_timestamp_seconds",
        help: "When beat was last looked at, by the clock of what tells of it.",
        type: .gauge
    )
    private static let heartbeat = MetricFamily(
        "celery_beat_scheduler_heartbeat",
        help: "When beat last showed life, in Unix time.",
        type: .gauge
    )
    private static let deadline = MetricFamily(
        "celery_beat_deadline_timestamp_seconds",
        help: "When a live beat must next show life.",
        type: .gauge
    )
    private static let lockHeld = MetricFamily(
        "celery_beat_lock_held",
        help: "1 while the scheduler's lock exists. It outlives a killed beat.",
        type: .gauge
    )
    private static let lockTimeToLive = MetricFamily(
        "celery_beat_lock_ttl_seconds",
        help: "Seconds until the lock ends by itself; 0 when there is none.",
        type: .gauge
    )
    private static let lockTimeout = MetricFamily(
        "celery_beat_lock_timeout_seconds",
        help: "Seconds the lock is given at each extension, configured or learnt.",
        type: .gauge
    )
    private static let lockAcquisitions = MetricFamily(
        "celery_beat_lock_acquisitions_total",
        help: "Changes of the lock's owner that were seen.",
        type: .counter
    )
    private static let startTime = MetricFamily(
        "celery_beat_start_time_seconds",
        help: "When the beat that holds the lock started, in Unix time.",
        type: .gauge
    )
    private static let instances = MetricFamily(
        "celery_beat_instances",
        help: "Beats that are alive at once, where that can be told.",
        type: .gauge
    )
    private static let maxLoopInterval = MetricFamily(
        "celery_beat_max_loop_interval_seconds",
        help: "The longest a beat sleeps, as the deadline was computed with.",
        type: .gauge
    )
    private static let grace = MetricFamily(
        "celery_beat_grace_seconds",
        help: "How late a beat may be before it counts as dead.",
        type: .gauge
    )
    private static let clockSkew = MetricFamily(
        "celery_beat_clock_skew_seconds",
        help: "How far beat's clock is at least ahead of its Redis's, or behind (negative); 0 while they agree.",
        type: .gauge
    )
    private static let entries = MetricFamily(
        "celery_beat_schedule_entries",
        help: "Schedule entries.",
        type: .gauge
    )
    private static let disabledEntries = MetricFamily(
        "celery_beat_schedule_disabled_entries",
        help: "Schedule entries that are switched off.",
        type: .gauge
    )
    private static let invalidEntries = MetricFamily(
        "celery_beat_schedule_invalid_entries",
        help: "Schedule entries that cannot be decoded.",
        type: .gauge
    )
    private static let nextDue = MetricFamily(
        "celery_beat_schedule_next_due_timestamp_seconds",
        help: "The earliest due time among enabled entries.",
        type: .gauge
    )
    private static let lastTaskTime = MetricFamily(
        "celery_beat_last_task_time",
        help: "When beat last sent any task, in Unix time.",
        type: .gauge
    )
    private static let tasksSent = MetricFamily(
        "celery_beat_tasks_total",
        help: "Tasks sent by beat since the exporter started.",
        type: .counter
    )
    private static let entryOverdue = MetricFamily(
        "celery_beat_entry_overdue_seconds",
        help: "How late an enabled entry is against its true due time; absent while that is not known.",
        type: .gauge
    )
    private static let entryLastRun = MetricFamily(
        "celery_beat_entry_last_run_timestamp_seconds",
        help: "When beat last sent the entry's task.",
        type: .gauge
    )
    private static let entryNextDue = MetricFamily(
        "celery_beat_entry_next_due_timestamp_seconds",
        help: "When the entry is next due.",
        type: .gauge
    )
    private static let entryEnabled = MetricFamily(
        "celery_beat_entry_enabled",
        help: "1 unless the entry is switched off.",
        type: .gauge
    )
    private static let entryRuns = MetricFamily(
        "celery_beat_entry_runs_total",
        help: "Runs of the entry as the scheduler counts them; starts again when the entry is re-created.",
        type: .counter
    )
}
