import Exposition
import Logging
import Reading
import Testing

@testable import Collection

@Suite struct SnapshotTests {
    private static func definition(_ name: String, source: String?) -> CollectorDefinition {
        CollectorDefinition(name: name, source: source) { FixedCollector(result: .success(Collected([]))) }
    }

    private let collectors = [definition("beat", source: "redis"), definition("queues", source: "redis")]

    private func value(_ snapshot: Snapshot, _ name: String, _ labels: [Label] = []) -> Double? {
        snapshot.gather().families.first { $0.name == name }?.samples.first { $0.labels == labels }?.value
    }

    @Test func familiesComeSortedAndFailureTakesThemAway() {
        let snapshot = Snapshot(collectors: collectors, validity: .seconds(60))
        let family = MetricFamily("zebra", help: "", type: .gauge, value: 1)
        let other = MetricFamily("ant", help: "", type: .gauge, value: 2)
        #expect(!snapshot.isComplete)
        snapshot.publish("beat", .success(Collected([family])), took: 0.5)
        #expect(value(snapshot, "celery_beat_exporter_source_up", [Label("source", "redis")]) == 1)
        snapshot.publish("queues", .success(Collected([other])), took: 0.1)
        #expect(snapshot.isComplete)
        let names = snapshot.gather().families.map(\.name)
        #expect(names == names.sorted() && names.contains("ant") && names.contains("zebra"))

        let before = snapshot.generation
        #expect(snapshot.gather().collectors.map(\.isSuccess) == [true, true])
        snapshot.publish("beat", .failure(SourceError(.timeout, "no answer")), took: 5)
        #expect(snapshot.generation > before)
        #expect(snapshot.gather().collectors.map(\.name) == ["beat", "queues"])
        #expect(snapshot.gather().collectors.map { $0.error?.description } == ["no answer", nil])
        #expect(value(snapshot, "zebra") == nil)
        #expect(value(snapshot, "ant") == 2)
        #expect(value(snapshot, "celery_beat_exporter_source_up", [Label("source", "redis")]) == 0)
        #expect(value(snapshot, "celery_beat_exporter_collector_success", [Label("collector", "beat")]) == 0)
        #expect(value(snapshot, "celery_beat_exporter_collector_duration_seconds", [Label("collector", "beat")]) == 5)
        let errors = [Label("collector", "beat"), Label("reason", "timeout")]
        #expect(value(snapshot, "celery_beat_exporter_collector_errors_total", errors) == 1)
    }

    @Test func allErrorsArePreset() {
        let snapshot = Snapshot(collectors: collectors, validity: .seconds(60))
        let errors = snapshot.gather().families.first { $0.name == "celery_beat_exporter_collector_errors_total" }
        #expect(errors?.samples.count == 2 * ErrorReason.allCases.count)
        #expect(errors?.samples.allSatisfy { $0.value == 0 } == true)
    }

    @Test func aThreadThatHangsServesNothingOld() {
        let snapshot = Snapshot(collectors: collectors, validity: .zero)
        snapshot.publish("beat", .success(Collected([MetricFamily("old", help: "", type: .gauge, value: 1)])), took: 0)
        #expect(value(snapshot, "old") == nil)
        #expect(value(snapshot, "celery_beat_exporter_source_up", [Label("source", "redis")]) == 0)
        let errors = snapshot.gather().collectors.map { $0.error?.description }
        #expect(errors == Array(repeating: "the collection has not ended for 0.0 seconds; its source hangs", count: 2))
        // It does not keep the program from being ready.
        #expect(snapshot.isComplete)
    }

    @Test func seriesWithEqualLabelsAreDroppedAndCounted() {
        let snapshot = Snapshot(collectors: collectors, validity: .seconds(60))
        let family = MetricFamily("x", help: "", type: .gauge).with(
            [1, 2, 3].map { Sample($0, labels: [Label("a", $0 < 3 ? "same" : "other")]) }
        )
        snapshot.publish("beat", .success(Collected([family])), took: 0)
        #expect(snapshot.gather().families.first { $0.name == "x" }?.samples.map(\.value) == [1, 3])
        #expect(value(snapshot, "celery_beat_exporter_dropped_label_values_total") == 1)
    }

    @Test func whatSeveralCollectorsBringIsOneFamily() {
        let snapshot = Snapshot(collectors: collectors, validity: .seconds(60))
        let family = MetricFamily("x", help: "", type: .gauge)
        func samples(_ name: String) -> [Sample] { [Sample(1, labels: [Label("scheduler", name)])] }
        snapshot.publish("queues", .success(Collected([family.with(samples("b"))])), took: 0)
        snapshot.publish("beat", .success(Collected([family.with(samples("a"))])), took: 0)
        #expect(snapshot.gather().families.filter { $0.name == "x" } == [family.with(samples("a") + samples("b"))])
    }

    @Test func nothingChangesWithoutAPublication() {
        let snapshot = Snapshot(collectors: collectors, validity: .seconds(60))
        snapshot.publish("beat", .success(Collected([])), took: 0)
        #expect(snapshot.generation == snapshot.generation)
        #expect(snapshot.gather().families == snapshot.gather().families)
    }
}

struct FixedCollector: Collector {
    let result: Result<Collected, SourceError>

    func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected {
        try result.get()
    }
}
