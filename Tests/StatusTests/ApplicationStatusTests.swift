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
