package import Collection
package import Exposition
package import Reading

/// Shows what a reader concludes as metric families.
package struct ReaderCollector<Source: Reader>: Collector {
    private var reader: Source
    private let families: (Source.State) -> [MetricFamily]

    package init(_ reader: Source, families: @escaping (Source.State) -> [MetricFamily]) {
        self.reader = reader
        self.families = families
    }

    package mutating func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected {
        let reading = try reader.read(until: deadline)
        return Collected(reading, families: reading.state.map(families) ?? [])
    }
}
