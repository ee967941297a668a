import Exposition
import Reading
import Testing

@testable import Celery
@testable import Collection
@testable import Metrics

@Suite struct SnapshotFamiliesTests {
    private let settings = MetricSettings(maximumEntrySeries: 1, durationBounds: [])

    private func health(_ name: String, _ result: Result<Reading<Int>, SourceError>?) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: "redis")
        if let result { health.note(result, at: 7, took: 5) }
        return health
    }

    private func text(_ snapshot: Snapshot, _ prefix: String) -> String {
        let families = SnapshotFamilies(snapshot, settings).families.filter { $0.name.hasPrefix(prefix) }
        return String(decoding: ExpositionFormat.text.encode(families), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
    }

    @Test func familiesAreSortedAndTellHowCollectorsFare() {
        let failure = SourceError(.timeout, "no answer")
        let snapshot = Snapshot(
            collectors: [health("redbeat", .failure(failure)), health("queues", .success(Reading(nil)))]
        )
        let names = SnapshotFamilies(snapshot, settings).families.map(\.name)
        #expect(names == names.sorted())
        #expect(
            text(snapshot, "celery_beat_exporter_collector_s") == """
                celery_beat_exporter_collector_success{collector="redbeat"} 0
                celery_beat_exporter_collector_success{collector="queues"} 1
                """
        )
        #expect(
            text(snapshot, "celery_beat_exporter_source_up") == #"celery_beat_exporter_source_up{source="redis"} 0"#
        )
        #expect(
            text(snapshot, "celery_beat_exporter_collector_duration") == """
                celery_beat_exporter_collector_duration_seconds{collector="redbeat"} 5
                celery_beat_exporter_collector_duration_seconds{collector="queues"} 5
                """
        )
        let errors = text(snapshot, "celery_beat_exporter_collector_errors").split(separator: "\n")
        #expect(errors.count == 2 * ErrorReason.allCases.count)
        #expect(
            errors.filter { !$0.hasSuffix(" 0") } == [
                #"celery_beat_exporter_collector_errors_total{collector="redbeat",reason="timeout"} 1"#
            ]
        )
    }

    @Test func whatSeveralSchedulersBringIsOneFamily() {
        var snapshot = Snapshot(collectors: [])
        for scheduler in [Scheduler.ping, .redbeat] {
            snapshot.states.beats[scheduler] = BeatState(time: 1, isUp: true, grace: 2)
        }
        #expect(
            text(snapshot, "celery_beat_up") == """
                celery_beat_up{scheduler="redbeat"} 1
                celery_beat_up{scheduler="ping"} 1
                """
        )
    }

    /// What is beyond the bound, and two names that have become one: whoever brings them.
    @Test func whatIsLeftOutIsCounted() {
        var snapshot = Snapshot(collectors: [])
        var beat = BeatState(time: 1, isUp: true, grace: 2)
        beat.schedule = ScheduleState(
            entries: ["a", "b", "c"].map { BeatEntryState(name: $0, task: "t", isEnabled: true) },
            entryCount: 3,
            disabledCount: 0,
            invalidCount: 0
        )
        snapshot.states.beats[.redbeat] = beat
        let workers = [1, 2, 3].map { WorkerStatus(name: $0 < 3 ? "same" : "other", isOnline: $0 != 1) }
        snapshot.states.workers = WorkerState(workers: workers, queues: [])
        #expect(
            text(snapshot, "celery_worker_table_status") == """
                celery_worker_table_status{worker_name="same"} 0
                celery_worker_table_status{worker_name="other"} 1
                """
        )
        let shown = SnapshotFamilies(snapshot, settings, droppedBefore: 4)
        #expect(shown.droppedSeries == 4 + 2 + 1)
        let dropped = shown.families.first { $0.name == "celery_beat_exporter_dropped_label_values_total" }
        #expect(dropped?.samples.map(\.value) == [7])
        // Switched off is not left out.
        let off = MetricSettings(maximumEntrySeries: 0, durationBounds: [])
        #expect(SnapshotFamilies(snapshot, off).droppedSeries == 1)
    }
}
