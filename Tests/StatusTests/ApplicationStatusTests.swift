import Collection
import Exposition
import Testing

@testable import Status

@Suite struct ApplicationStatusTests {
    private static let redis = Samples.reading("redbeat", "redbeat")

    @Test func agesAreTakenByTheClockThatBeatIsSeenBy() throws {
        let beat = try #require(Samples.full.beats.first)
        #expect(beat.now == Samples.now + 3600)
        #expect(beat.now - (beat.heartbeat ?? 0) == 10)
    }

    @Test func lateEntriesComeFirst() {
        #expect(Samples.full.beats.flatMap(\.entries).map(\.name) == ["often", "nightly", "off"])
        #expect(Samples.full.beats.flatMap(\.entries).map(\.state) == [.late, .onTime, .off])
    }

    @Test func anEntryIsLateWhenBeatShouldHaveLooked() {
        // The loop interval of 30 s and the grace of 2 s.
        let states = [0, 0.5, 32, 32.5].map { overdue in
            let labels = [("scheduler", "redbeat"), ("entry", "e"), ("task_name", "t")].map { Label($0, $1) }
            let families = [
                MetricFamily("celery_beat_entry_enabled", help: "", type: .gauge, value: 1, labels: labels),
                MetricFamily(
                    "celery_beat_entry_overdue_seconds",
                    help: "",
                    type: .gauge,
                    value: overdue,
                    labels: labels
                ),
            ]
            return Samples.status(Samples.beat("redbeat", isUp: 1) + families, [Self.redis]).beats.first?.entries.first?
                .state
        }
        #expect(states == [.onTime, .due, .due, .late])
    }

    /// Entries, workers and what else is joined from several families by a name, of which there may be two.
    @Test func whatSharesANameIsToldApart() {
        func entry(_ task: String, _ values: [String: Double], scheduler: String = "redbeat") -> [MetricFamily] {
            values.sorted { $0.key < $1.key }.map { name, value in
                Samples.gauge(
                    "celery_beat_entry_\(name)",
                    value,
                    ("scheduler", scheduler),
                    ("entry", "report"),
                    ("task_name", task)
                )
            }
        }
        let names = [
            "overdue_seconds", "last_run_timestamp_seconds", "next_due_timestamp_seconds", "runs_total", "enabled",
        ]
        func values(_ values: Double...) -> [String: Double] { Dictionary(uniqueKeysWithValues: zip(names, values)) }
        let families =
            Samples.beat("redbeat", isUp: 1) + Samples.beat("django", isUp: 1)
            + entry("a.fast", values(0, 1, 2, 3, 1)) + entry("b.slow", values(500, 4, 5, 6, 1))
            + entry("a.fast", values(0, 7, 8, 9, 0), scheduler: "django")
        let status = Samples.status(families, [Self.redis, Samples.reading("django", "database")])
        func told(_ beat: ApplicationStatus.Beat?) -> [String] {
            (beat?.entries ?? []).map {
                "\($0.name) \($0.task) \($0.state) \($0.overdue ?? 0) \($0.lastRun ?? 0) \($0.nextDue ?? 0) \($0.runs ?? 0)"
            }
        }
        #expect(
            told(status.beats.first) == ["report b.slow late 500.0 4.0 5.0 6", "report a.fast onTime 0.0 1.0 2.0 3"]
        )
        #expect(told(status.beats.last) == ["report a.fast off 0.0 7.0 8.0 9"])
        #expect(
            status.problems.map(\.text) == [
                "Beat lives, but entries of redbeat are late: report, task b.slow (8 min 20 s)."
            ]
        )
    }

    /// Names are cut when they are shown, not before.
    @Test func namesThatDifferAtTheirEndAreToldApart() {
        let long = String(repeating: "x", count: 400)
        let families = ["a", "b"].enumerated().flatMap { index, end in
            [
                Samples.gauge("celery_worker_table_status", 1, ("worker_name", long + end)),
                Samples.gauge("celery_worker_table_active_tasks", Double(index), ("worker_name", long + end)),
                Samples.gauge("celery_task_success_ratio", 0.5, ("task_name", long + end), ("window", "5m")),
                Samples.gauge("celery_pipelines_in_progress", Double(index), ("root_task_name", long + end)),
            ]
        }
        let status = Samples.status(families, [])
        #expect(status.workers?.map(\.activeTasks).sorted { $0 ?? 0 < $1 ?? 0 } == [0, 1])
        #expect(status.tasks?.map(\.successRatios.count) == [1, 1])
        #expect(status.pipelines?.map(\.inProgress).sorted() == [0, 1])
    }

    @Test func whatIsNotReadIsNotKnown() {
        let status = Samples.status([], [Samples.failing("queues", "broker"), Samples.failing("tasks", "database")])
        #expect(status.queues == nil && status.tasks == nil && status.pipelines == nil && status.workers == nil)
        let empty = Samples.status([MetricFamily("celery_queue_length", help: "", type: .gauge)], [])
        #expect(empty.queues == [])
    }

    @Test(
        arguments: [
            ([1], .alive, true), ([0], .dead, false), ([nil], .unknown, nil), ([1, 1], .alive, true),
            ([1, 0], .dead, false),
            ([nil, 0], .dead, false), ([1, nil], .unknown, nil), ([], .none, nil),
        ] as [([Double?], ApplicationStatus.Verdict, Bool?)]
    )
    func verdictOverSeveral(up: [Double?], verdict: ApplicationStatus.Verdict, isActive: Bool?) {
        let schedulers = zip(["redbeat", "django"], up)
        let families = schedulers.flatMap { Samples.beat($0, isUp: $1) }
        let status = Samples.status(
            families,
            [Self.redis, Samples.reading("django", "database"), Samples.reading("tasks", "database")]
        )
        #expect(status.beats.map(\.scheduler) == schedulers.map(\.0))
        #expect(status.verdict == verdict)
        #expect(status.isActive == isActive)
    }

    @Test(
        arguments: [
            (1, false, false, .alive, .alive, true), (1, true, false, .uncertain, .uncertain, true),
            (0, false, false, .dead, .dead, false), (0, false, true, .notFound, .notFound, false),
            (0, true, false, .dead, .dead, false), (nil, true, true, .unknown, .unknown, nil),
        ] as [(Double?, Bool, Bool, ApplicationStatus.Life, ApplicationStatus.Verdict, Bool?)]
    )
    func lifeIsConcludedOnce(
        up: Double?,
        isPreliminary: Bool,
        isEmptyHanded: Bool,
        life: ApplicationStatus.Life,
        verdict: ApplicationStatus.Verdict,
        isActive: Bool?
    ) {
        var collected = Collected(Samples.beat("redbeat", isUp: up))
        collected.isPreliminary = isPreliminary
        collected.isEmptyHanded = isEmptyHanded
        var health = CollectorHealth(name: "redbeat", source: "redbeat")
        health.note(.success(collected), at: Samples.now - 1)
        let status = Samples.status(collected.families, [health])
        #expect(status.beats.map(\.life) == [life])
        // As `check` has it, from the same collection.
        #expect(ApplicationStatus.Beat(collected, of: "redbeat")?.life == life)
        #expect(status.verdict == verdict)
        #expect(status.isActive == isActive)
    }

    /// However old the look is: beat may have shown life again since.
    @Test func aDeadlineThatHasPassedSinceTheLookIsNotMissed() {
        let others = ["deadline_timestamp_seconds": Samples.now + 3600 - 0.5]
        let status = Samples.status(Samples.beat("redbeat", isUp: 1, others: others), [Self.redis])
        #expect(status.verdict == .alive)
        #expect(status.beats.map(\.isDueSinceLook) == [true])
        #expect(status.problems == [])
        let before = Samples.status(Samples.beat("redbeat", isUp: 1), [Self.redis])
        #expect(before.beats.map(\.isDueSinceLook) == [false])
        let dead = Samples.status(Samples.beat("redbeat", isUp: 0, others: others), [Self.redis])
        #expect(dead.beats.map(\.isDueSinceLook) == [false])
    }

    @Test func verdictWithoutWhatTellsOfBeat() {
        let known = Samples.failing("redbeat", "redbeat")
        let never = Samples.failing("redbeat", "redbeat", hasWorked: false)
        let pending = Samples.pending("redbeat", "redbeat")
        #expect(Samples.status([], [known]).verdict == .unknown)
        #expect(Samples.status([], [known]).beats.map(\.scheduler) == ["redbeat"])
        #expect(Samples.status([], [never]).verdict == .unknown)
        #expect(Samples.status([], [never]).beats.isEmpty)
        #expect(Samples.status([], [never], expecting: ["redbeat"]).beats.map(\.scheduler) == ["redbeat"])
        #expect(Samples.status([], [pending]).verdict == .pending)
        #expect(Samples.status([], [pending], expecting: ["redbeat"]).verdict == .pending)
        #expect(Samples.status([], []).verdict == .none)
        // A RedBeat that was never seen says nothing against the beat that is there.
        let django = Samples.reading("django", "database")
        #expect(Samples.status(Samples.beat("django", isUp: 1), [never, django]).verdict == .alive)
        #expect(Samples.status(Samples.beat("django", isUp: 1), [known, django]).verdict == .unknown)
    }

    @Test(
        arguments: [
            (["lock_held": 0, "lock_ttl_seconds": 0], nil), (["lock_held": 1, "lock_ttl_seconds": 12.5], 12.5),
            // Without an end.
            (["lock_held": 1, "lock_ttl_seconds": 0], nil), ([:], nil),
        ] as [([String: Double], Double?)]
    )
    func lockTimeToLive(families: [String: Double], seconds: Double?) {
        let status = Samples.status(Samples.beat("redbeat", isUp: 1, others: families), [Self.redis])
        #expect(status.lockTimeToLive == seconds)
    }

    @Test func workersThatSaidTheyAreOnlineFallSilent() {
        let states = [299.0, 301].map { age in
            let families = [
                Samples.gauge("celery_worker_table_status", 1, ("worker_name", "w")),
                Samples.gauge(
                    "celery_worker_table_heartbeat_timestamp_seconds",
                    Samples.now - age,
                    ("worker_name", "w")
                ),
            ]
            return Samples.status(families, []).workers?.first?.state
        }
        #expect(states == [.online, .silent])
    }

    @Test func foreignNamesAreCut() {
        let long = String(repeating: "e\u{301}", count: 200)
        let status = Samples.status([Samples.gauge("celery_queue_length", 1, ("queue_name", long))], [])
        #expect(status.queues?.first?.name == String(repeating: "e\u{301}", count: 150) + "…")
    }

    @Test func oneOfSeveralInALine() {
        var status = Samples.full
        status.target = "shop"
        let summary = TargetSummary(status)
        #expect(summary.name == "shop" && summary.verdict == .alive && summary.isActive == true)
        #expect(summary.worstLateness == 100 && summary.messages == 12_347)
        #expect(summary.criticalCount == 0 && summary.warningCount == 3 && summary.failingSources == ["database"])
        let unknown = TargetSummary(Samples.status([], [Samples.failing("redbeat", "redbeat")], target: "x"))
        #expect(unknown.worstLateness == nil && unknown.messages == nil && unknown.criticalCount == 1)
    }
}
