package import Celery
package import Collection
package import Reading

/// Whether a beat is alive and does what it promised, whatever its scheduler.
package struct BeatCollector<Source: Reader>: Collector where Source.State == BeatState {
    private let scheduler: String
    private var reader: Source
    private let maximumEntrySeries: Int
    private let observe: (BeatState) -> Void

    /// - Parameters:
    ///   - maximumEntrySeries: entries that get series of their own; 0 for none.
    ///   - observe: is told of each state, for what other collectors need of it.
    package init(
        _ scheduler: String,
        _ reader: Source,
        maximumEntrySeries: Int,
        observe: @escaping (BeatState) -> Void = { _ in }
    ) {
        self.scheduler = scheduler
        self.reader = reader
        self.maximumEntrySeries = maximumEntrySeries
        self.observe = observe
    }

    package mutating func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected {
        let reading = try reader.read(until: deadline)
        guard let state = reading.state else {
            var collected = Collected(reading, families: [])
            collected.isEmptyHanded = true
            return collected
        }
        observe(state)
        var collected = Collected(
            reading,
            families: BeatFamilies.families(
                of: state,
                scheduler: scheduler,
                maximumEntrySeries: maximumEntrySeries
            )
        )
        collected.isEmptyHanded = state.isNowhere
        // Switched off is not left out.
        let entryCount = state.schedule?.entries.count ?? 0
        if maximumEntrySeries > 0 { collected.droppedSeries = max(0, entryCount - maximumEntrySeries) }
        return collected
    }
}
