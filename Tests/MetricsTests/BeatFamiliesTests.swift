import Exposition
import Metrics
import Testing

@testable import Celery

@Suite struct BeatFamiliesTests {
    private let state = BeatState(
        time: 1000,
        isUp: true,
        heartbeat: 990.5,
        deadline: 1010,
        lock: LockState(isHeld: true, timeToLive: 1490.5, timeout: 1500, acquisitions: 2),
        startTime: 100,
        instances: 1,
        maxLoopInterval: 300,
        grace: 2,
        clockSkew: 0,
        schedule: ScheduleState(
            entries: [
                BeatEntryState(name: "a", task: "t", isEnabled: true, lastRun: 900, nextDue: 995, overdue: 5, runs: 7),
                BeatEntryState(name: "b", task: "u", isEnabled: false, lastRun: nil, nextDue: nil, overdue: 0, runs: 0),
            ],
            entryCount: 3,
            disabledCount: 1,
            invalidCount: 1,
            nextDue: 995,
            lastTaskTime: 900,
            tasksSent: ["u": 0, "t": 4],
            queues: []
        )
    )

    private func samples(_ state: BeatState, maximumEntrySeries: Int) -> String {
        let families = BeatFamilies.families(of: state, scheduler: "redbeat", maximumEntrySeries: maximumEntrySeries)
        return String(decoding: ExpositionFormat.text.encode(families), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
    }

    @Test func everythingKnown() {
        #expect(
            samples(state, maximumEntrySeries: 10) == """
                celery_beat_observed_timestamp_seconds{scheduler="redbeat"} 1000
                celery_beat_up{scheduler="redbeat"} 1
                celery_beat_scheduler_heartbeat{scheduler="redbeat"} 990.5
                celery_beat_deadline_timestamp_seconds{scheduler="redbeat"} 1010
                celery_beat_lock_held{scheduler="redbeat"} 1
                celery_beat_lock_ttl_seconds{scheduler="redbeat"} 1490.5
                celery_beat_lock_timeout_seconds{scheduler="redbeat"} 1500
                celery_beat_lock_acquisitions_total{scheduler="redbeat"} 2
                celery_beat_start_time_seconds{scheduler="redbeat"} 100
                celery_beat_instances{scheduler="redbeat"} 1
                celery_beat_max_loop_interval_seconds{scheduler="redbeat"} 300
                celery_beat_grace_seconds{scheduler="redbeat"} 2
                celery_beat_clock_skew_seconds{scheduler="redbeat"} 0
                celery_beat_schedule_entries{scheduler="redbeat"} 3
                celery_beat_schedule_disabled_entries{scheduler="redbeat"} 1
                celery_beat_schedule_invalid_entries{scheduler="redbeat"} 1
                celery_beat_schedule_next_due_timestamp_seconds{scheduler="redbeat"} 995
                celery_beat_last_task_time{scheduler="redbeat"} 900
                celery_beat_tasks_total{scheduler="redbeat",task_name="t"} 4
                celery_beat_tasks_total{scheduler="redbeat",task_name="u"} 0
                celery_beat_entry_overdue_seconds{scheduler="redbeat",entry="a",task_name="t"} 5
                celery_beat_entry_overdue_seconds{scheduler="redbeat",entry="b",task_name="u"} 0
                celery_beat_entry_last_run_timestamp_seconds{scheduler="redbeat",entry="a",task_name="t"} 900
                celery_beat_entry_next_due_timestamp_seconds{scheduler="redbeat",entry="a",task_name="t"} 995
                celery_beat_entry_enabled{scheduler="redbeat",entry="a",task_name="t"} 1
                celery_beat_entry_enabled{scheduler="redbeat",entry="b",task_name="u"} 0
                celery_beat_entry_runs_total{scheduler="redbeat",entry="a",task_name="t"} 7
                celery_beat_entry_runs_total{scheduler="redbeat",entry="b",task_name="u"} 0
                """
        )
    }

    @Test func nothingEverSeen() {
        var state = state
        state.isUp = false
        state.heartbeat = nil
        state.deadline = nil
        state.lock = LockState(isHeld: false, timeToLive: nil, timeout: nil, acquisitions: 0)
        state.startTime = nil
        state.instances = nil
        state.clockSkew = nil
        state.schedule = ScheduleState(entries: [], entryCount: 0, disabledCount: 0, invalidCount: 0)
        #expect(
            samples(state, maximumEntrySeries: 10) == """
                celery_beat_observed_timestamp_seconds{scheduler="redbeat"} 1000
                celery_beat_up{scheduler="redbeat"} 0
                celery_beat_lock_held{scheduler="redbeat"} 0
                celery_beat_lock_ttl_seconds{scheduler="redbeat"} 0
                celery_beat_lock_acquisitions_total{scheduler="redbeat"} 0
                celery_beat_max_loop_interval_seconds{scheduler="redbeat"} 300
                celery_beat_grace_seconds{scheduler="redbeat"} 2
                celery_beat_schedule_entries{scheduler="redbeat"} 0
                celery_beat_schedule_disabled_entries{scheduler="redbeat"} 0
                celery_beat_schedule_invalid_entries{scheduler="redbeat"} 0
                """
        )
    }

    @Test func entriesCanBeCappedAndSwitchedOff() {
        #expect(!samples(state, maximumEntrySeries: 0).contains("celery_beat_entry_"))
        #expect(samples(state, maximumEntrySeries: 1).contains("entry=\"a\""))
        #expect(!samples(state, maximumEntrySeries: 1).contains("entry=\"b\""))
    }

    @Test func withoutALockThereAreNoLockFamilies() {
        var state = state
        state.lock = nil
        #expect(!samples(state, maximumEntrySeries: 0).contains("celery_beat_lock_"))
    }

    /// A beat that answers pings: nothing is known of its schedule.
    @Test func beatItselfAlone() {
        var state = state
        state.lock = nil
        state.startTime = nil
        state.maxLoopInterval = nil
        state.clockSkew = nil
        state.schedule = nil
        #expect(
            samples(state, maximumEntrySeries: 10) == """
                celery_beat_observed_timestamp_seconds{scheduler="redbeat"} 1000
                celery_beat_up{scheduler="redbeat"} 1
                celery_beat_scheduler_heartbeat{scheduler="redbeat"} 990.5
                celery_beat_deadline_timestamp_seconds{scheduler="redbeat"} 1010
                celery_beat_instances{scheduler="redbeat"} 1
                celery_beat_grace_seconds{scheduler="redbeat"} 2
                """
        )
    }
}
