package import Exposition
internal import Glibc
internal import Reading
internal import Synchronization

/// The latest families of every collector, and how the collectors themselves fare.
///
/// Written by the loops, read by the server. A collection that is older than `validity`, because its thread hangs in a
/// call that no deadline reaches, is dropped and shown as failed.
package final class Snapshot: Sendable {
    private struct Entry {
        var health: CollectorHealth
        var families: [MetricFamily] = []
        var duration = 0.0
        var errors: [ErrorReason: Int] = [:]
        var validUntil: ContinuousClock.Instant

        var name: String { health.name }
        var source: String? { health.source }
        var hasEnded: Bool { health.hasEnded }
        var isSuccess: Bool { health.isSuccess }
        var lastSuccess: Double? { health.lastSuccess }
    }

    private struct State {
        var entries: [Entry]
        var generation = 0
        var dropped = 0
    }

    private let validity: Duration
    private let state: Mutex<State>

    /// - Parameter validity: how long a collection may be served; more than an interval and a collection's deadline.
    package init(collectors: [CollectorDefinition], validity: Duration) {
        self.validity = validity
        let until = ContinuousClock.now + validity
        state = Mutex(
            State(
                entries: collectors.map {
                    Entry(health: CollectorHealth(name: $0.name, source: $0.source), validUntil: until)
                }
            )
        )
    }

    /// Grows with every change: equal generations mean equal families.
    package var generation: Int {
        state.withLock { state in
            expire(&state)
            return state.generation
        }
    }

    /// Whether the first collection of every collector has ended, in success or failure.
    package var isComplete: Bool {
        state.withLock { $0.entries.allSatisfy(\.hasEnded) }
    }

    /// How the collectors fare, as they were listed.
    package var collectors: [CollectorHealth] {
        state.withLock { state in
            expire(&state)
            return state.entries.map(\.health)
        }
    }

    /// All families, sorted by name, with those about the collectors; and the collectors themselves, as they were listed.
    package func gather() -> (families: [MetricFamily], collectors: [CollectorHealth], generation: Int) {
        state.withLock { state in
            expire(&state)
            let families = Self.merged(state.entries.flatMap(\.families) + Self.ownFamilies(state))
            return (families, state.entries.map(\.health), state.generation)
        }
    }

    /// Each family once, sorted by name. Several collectors bring the same where there are several schedulers.
    private static func merged(_ families: [MetricFamily]) -> [MetricFamily] {
        var merged: [String: MetricFamily] = [:]
        for family in families {
            if merged[family.name]?.samples.append(contentsOf: family.samples) == nil { merged[family.name] = family }
        }
        return merged.values.sorted { $0.name < $1.name }
    }

    func publish(_ name: String, _ result: Result<Collected, SourceError>, took duration: Double) {
        let collected = try? result.get()
        let (families, duplicates) = Self.withoutDuplicates(collected?.families ?? [])
        let now = Self.unixTime
        state.withLock { state in
            guard let index = state.entries.firstIndex(where: { $0.name == name }) else {
                preconditionFailure("\(name) publishes but was not announced")
            }
            state.generation += 1
            state.dropped += duplicates + (collected?.droppedSeries ?? 0)
            state.entries[index].families = families
            state.entries[index].health.note(result, at: now)
            state.entries[index].duration = duration
            state.entries[index].validUntil = ContinuousClock.now + validity
            switch result {
            case .success(let collected):
                for problem in collected.problems { state.entries[index].errors[problem.reason, default: 0] += 1 }
            case .failure(let error):
                state.entries[index].errors[error.reason, default: 0] += 1
            }
        }
    }

    private func expire(_ state: inout State) {
        let now = ContinuousClock.now
        for index in state.entries.indices where state.entries[index].validUntil < now {
            state.generation += 1
            let hangs = SourceError(.timeout, "the collection has not ended for \(validity); its source hangs")
            state.entries[index].families = []
            state.entries[index].health.note(.failure(hangs), at: Self.unixTime)
            state.entries[index].errors[.timeout, default: 0] += 1
            // Counted once for each further span without an answer.
            state.entries[index].validUntil = now + validity
        }
    }

    /// Two names that differ only in bytes that are no UTF-8 become equal, and one duplicate series would make
    /// Prometheus drop the whole scrape: the first wins.
    private static func withoutDuplicates(_ families: [MetricFamily]) -> ([MetricFamily], Int) {
        struct Identity: Hashable {
            let suffix: String
            let labels: [Label]
        }
        var dropped = 0
        let unique = families.map { family in
            guard family.samples.count > 1 else { return family }
            var seen = Set<Identity>(minimumCapacity: family.samples.count)
            let samples = family.samples.filter { seen.insert(Identity(suffix: $0.suffix, labels: $0.labels)).inserted }
            dropped += family.samples.count - samples.count
            return family.with(samples)
        }
        return (unique, dropped)
    }

    private static var unixTime: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    // MARK: Families about the collectors

    private static let sourceUp = MetricFamily(
        "celery_beat_exporter_source_up",
        help: "1 if the last collection from the source succeeded.",
        type: .gauge
    )
    private static let durationSeconds = MetricFamily(
        "celery_beat_exporter_collector_duration_seconds",
        help: "How long the last collection took.",
        type: .gauge
    )
    private static let success = MetricFamily(
        "celery_beat_exporter_collector_success",
        help: "1 if the last collection succeeded.",
        type: .gauge
    )
    private static let lastSuccess = MetricFamily(
        "celery_beat_exporter_collector_last_success_timestamp_seconds",
        help: "When a collection last succeeded, by the exporter's clock.",
        type: .gauge
    )
    private static let errors = MetricFamily(
        "celery_beat_exporter_collector_errors_total",
        help: "What went wrong in collections, by reason.",
        type: .counter
    )
    private static let dropped = MetricFamily(
        "celery_beat_exporter_dropped_label_values_total",
        help: "Series left out at each collection: beyond a bound, or with labels that equal another's.",
        type: .counter
    )

    private static func ownFamilies(_ state: State) -> [MetricFamily] {
        let ended = state.entries.filter(\.hasEnded)
        var up: [String: Bool] = [:]
        for entry in ended {
            if let source = entry.source { up[source] = up[source, default: true] && entry.isSuccess }
        }
        func samples(_ value: (Entry) -> Double?) -> [Sample] {
            ended.compactMap { entry in value(entry).map { Sample($0, labels: [Label("collector", entry.name)]) } }
        }
        return [
            sourceUp.with(
                up.sorted { $0.key < $1.key }.map { Sample($0.value ? 1 : 0, labels: [Label("source", $0.key)]) }
            ),
            durationSeconds.with(samples { $0.duration }),
            success.with(samples { $0.isSuccess ? 1 : 0 }),
            lastSuccess.with(samples { $0.lastSuccess }),
            errors.with(
                state.entries.flatMap { entry in
                    ErrorReason.allCases.map { reason in
                        Sample(
                            Double(entry.errors[reason] ?? 0),
                            labels: [Label("collector", entry.name), Label("reason", reason.rawValue)]
                        )
                    }
                }
            ),
            dropped.with(Double(state.dropped)),
        ]
    }
}
