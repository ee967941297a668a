internal import Celery
package import Collection
package import Exposition

/// What is shown of a snapshot, beyond what it holds.
package struct MetricSettings: Equatable, Sendable {
    /// Entries of a schedule that get series of their own; 0 for none.
    package var maximumEntrySeries: Int
    /// Upper bounds of the buckets of durations, in seconds.
    package var durationBounds: [Double]

    package init(maximumEntrySeries: Int, durationBounds: [Double]) {
        self.maximumEntrySeries = maximumEntrySeries
        self.durationBounds = durationBounds
    }
}

/// All families that show a snapshot, sorted by name.
package struct SnapshotFamilies {
    package let families: [MetricFamily]
    /// Series left out until now.
    package let droppedSeries: Int

    /// - Parameter droppedBefore: series that were left out of the snapshots before this one.
    package init(_ snapshot: Snapshot, _ settings: MetricSettings, droppedBefore: Int = 0) {
        let states = snapshot.states
        var dropped = 0
        var all: [MetricFamily] = []
        for scheduler in Scheduler.allCases {
            guard let state = states.beats[scheduler] else { continue }
            let maximum = settings.maximumEntrySeries
            all += BeatFamilies.families(of: state, scheduler: scheduler.rawValue, maximumEntrySeries: maximum)
            // Switched off is not left out.
            if maximum > 0 { dropped += max(0, (state.schedule?.entries.count ?? 0) - maximum) }
        }
        if let queues = states.queues { all += QueueFamilies.families(of: queues) }
        if let tasks = states.tasks {
            all += TaskFamilies.families(of: tasks, durationBounds: settings.durationBounds)
        }
        if let pipelines = states.pipelines {
            all += PipelineFamilies.families(of: pipelines, durationBounds: settings.durationBounds)
        }
        if let workers = states.workers { all += WorkerFamilies.families(of: workers) }
        if let process = states.process { all += ProcessFamilies.families(of: process) }
        all += CollectorFamilies.families(of: snapshot.collectors)

        let merged = Self.merged(all, &dropped)
        droppedSeries = droppedBefore + dropped
        families = (merged + [Self.dropped.with(Double(droppedSeries))]).sorted { $0.name < $1.name }
    }

    /// Each family once: several schedulers bring the same.
    ///
    /// Two names that differ only in bytes that are no UTF-8 become equal, and one duplicate series would make Prometheus
    /// drop the whole scrape: the first wins, whoever brings the other.
    private static func merged(_ families: [MetricFamily], _ dropped: inout Int) -> [MetricFamily] {
        var merged: [String: MetricFamily] = [:]
        for family in families {
            if merged[family.name]?.samples.append(contentsOf: family.samples) == nil { merged[family.name] = family }
        }
        return merged.values.map { family in
            guard family.samples.count > 1 else { return family }
            var seen = Set<Identity>(minimumCapacity: family.samples.count)
            let samples = family.samples.filter { seen.insert(Identity(suffix: $0.suffix, labels: $0.labels)).inserted }
            dropped += family.samples.count - samples.count
            return family.with(samples)
        }
    }

    private struct Identity: Hashable {
        let suffix: String
        let labels: [Label]

        /// Names of labels are mostly the same throughout a family.
        func hash(into hasher: inout Hasher) {
            hasher.combine(suffix)
            for label in labels { hasher.combine(label.value) }
        }
    }

    private static let dropped = MetricFamily(
        "celery_beat_exporter_dropped_label_values_total",
        help: "Series left out when metrics were put together: beyond a bound, or with labels that equal another's.",
        type: .counter
    )
}
