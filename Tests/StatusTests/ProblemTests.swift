import Collection
import Exposition
import Testing

@testable import Status

@Suite struct ProblemTests {
    private static let redis = Samples.reading("redbeat", "redbeat")

    /// The problems, each as its severity, its alert and its text.
    private func problems(_ families: [MetricFamily], _ collectors: [CollectorHealth] = [redis]) -> [String] {
        Samples.status(families, collectors).problems.map { "\($0.severity) \($0.alert ?? "-"): \($0.text)" }
    }

    @Test func whereAllIsWellThereAreNone() {
        #expect(problems(Samples.beat("redbeat", isUp: 1)) == [])
    }

    @Test func aDeadBeat() {
        func dead(_ scheduler: String, _ others: [String: Double] = [:]) -> [String] {
            problems(
                Samples.beat(scheduler, isUp: 0, others: others),
                [Samples.reading(scheduler, "redbeat")]
            )
        }
        #expect(
            dead("redbeat", ["lock_held": 1, "lock_ttl_seconds": 724]) == [
                "critical CeleryBeatOverdue: The beat of redbeat is dead, hangs or is cut off. "
                    + "Its lock keeps others out for another 12 min."
            ]
        )
        #expect(
            dead("redbeat", ["lock_held": 1, "lock_ttl_seconds": 0]) == [
                "critical CeleryBeatOverdue: The beat of redbeat is dead, hangs or is cut off. "
                    + "Its lock keeps others out until somebody deletes it."
            ]
        )
        #expect(
            dead("redbeat", ["lock_held": 0]) == [
                "critical CeleryBeatLockMissing: No beat of redbeat holds the lock, so none sends periodic tasks."
            ]
        )
        #expect(
            dead("django") == [
                "critical CeleryBeatOverdueWithoutLock: The beat of django has missed its deadline: "
                    + "it is dead, hangs or is cut off."
            ]
        )
        #expect(
            dead("evidence") == [
                "critical CeleryBeatOverdueWithoutLock: None of the tasks that beat should send is seen to run: "
                    + "it does not send them, or no worker runs them."
            ]
        )
        #expect(
            dead("ping") == [
                "critical CeleryBeatOverdueWithoutLock: No beat answers pings: it is dead or hangs, or does not hear the broker."
            ]
        )
    }

    @Test func aBeatThatIsNotJudgedYet() {
        #expect(
            problems(Samples.beat("redbeat", isUp: nil)) == [
                "warning -: The beat of redbeat has not been watched for long enough to tell whether it is alive."
            ]
        )
    }

    @Test func eachSourceIsToldOnceTheWorstFirst() {
        let collectors = [
            Samples.failing("tasks", "database"), Samples.failing("workers", "database"),
            Samples.failing("redbeat", "redbeat"), Samples.failing("queues", "broker"),
        ]
        #expect(
            problems([], collectors) == [
                "critical CeleryRedisDown: The source redbeat cannot be read (redbeat): connect to redbeat:1: refused.",
                "critical CeleryRedisDown: The source broker cannot be read (queues): connect to broker:1: refused.",
                "warning CeleryDatabaseDown: The source database cannot be read (tasks, workers): "
                    + "connect to database:1: refused.",
            ]
        )
        #expect(
            problems([], [Samples.failing("django", "database")]) == [
                "critical CeleryBeatDatabaseDown: The source database cannot be read (django): connect to database:1: refused."
            ]
        )
        // Nobody knows of a beat there.
        #expect(
            problems([], [Samples.failing("django", "database", hasWorked: false)]) == [
                "warning CeleryDatabaseDown: The source database cannot be read (django): connect to database:1: refused."
            ]
        )
    }

    @Test func aLivingBeatWithTroubles() {
        let others: [String: Double] = [
            "instances": 2, "schedule_entries": 0, "schedule_invalid_entries": 3, "clock_skew_seconds": -61,
        ]
        #expect(
            problems(Samples.beat("redbeat", isUp: 1, others: others)) == [
                "critical CeleryBeatDuplicated: 2 beats of redbeat are at work, and each sends every periodic task.",
                "critical CeleryBeatScheduleEmpty: The schedule of redbeat is empty, so beat has nothing to send.",
                "warning CeleryClockSkew: The clock of the beat of redbeat is 1 min 1 s behind its source's.",
                "warning -: Entries of redbeat that cannot be decoded: 3.",
            ]
        )
    }

    @Test func manyLateEntriesAreOneProblem() {
        let labels = (0..<7).map { [("scheduler", "redbeat"), ("entry", "e\($0)"), ("task_name", "t")] }
        let families = labels.enumerated().flatMap { index, labels in
            [("enabled", 1), ("overdue_seconds", Double(index) * 60)].map { name, value in
                MetricFamily(
                    "celery_beat_entry_\(name)",
                    help: "",
                    type: .gauge,
                    value: value,
                    labels: labels.map { Label($0, $1) }
                )
            }
        }
        #expect(
            problems(Samples.beat("redbeat", isUp: 1) + families) == [
                "warning CeleryBeatEntryOverdue: Beat lives, but entries of redbeat are late: "
                    + "e6 (6 min), e5 (5 min), e4 (4 min), e3 (3 min), e2 (2 min) and 1 more."
            ]
        )
        // What a dead beat does not do is no news.
        #expect(problems(Samples.beat("redbeat", isUp: 0) + families).count == 1)
    }

    @Test func tasksMessagesWorkersAndTheConfiguration() {
        let families = [
            Samples.gauge("celery_task_success_ratio", 0.5, ("task_name", "a"), ("window", "5m")),
            Samples.gauge("celery_task_success_ratio", 0.8999, ("task_name", "b"), ("window", "5m")),
            Samples.gauge("celery_task_success_ratio", 0.9, ("task_name", "c"), ("window", "5m")),
            Samples.gauge("celery_unacked_messages", 1),
            Samples.gauge("celery_oldest_unacked_timestamp_seconds", Samples.now - 3901),
            Samples.gauge("celery_unacked_visibility_timeout_seconds", 3600),
            Samples.gauge("celery_worker_table_status", 1, ("worker_name", "w")),
            Samples.gauge("celery_worker_table_heartbeat_timestamp_seconds", 0, ("worker_name", "w")),
            Samples.gauge("celery_beat_exporter_config_last_reload_successful", 0),
        ]
        #expect(
            problems(families, []) == [
                "warning CeleryTaskSuccessRatioLow: Fewer than 90 % of what ended within 5m succeeded: a (50 %), b (89.9 %).",
                "warning CeleryUnackedTooOld: A message was delivered 1 h 5 min ago and never acknowledged, "
                    + "and nobody delivers it again.",
                "warning -: Workers that said they are online have been silent for more than 5 minutes: w.",
                "warning -: The configuration is wrong as it stands now; the exporter goes on with the one before.",
            ]
        )
    }
}
