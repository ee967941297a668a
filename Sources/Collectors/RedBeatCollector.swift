package import Celery
package import Collection
internal import Redis

/// Whether a RedBeat lives and does what it promised.
package struct RedBeatCollector: Collector {
    private let reader: RedBeatReader
    private let scheduledQueues: SharedQueueNames
    private let maximumEntrySeries: Int

    /// - Parameters:
    ///   - reader: what reads RedBeat's keys.
    ///   - scheduledQueues: where to put the queues that entries name.
    ///   - maximumEntrySeries: entries that get series of their own; 0 for none.
    package init(reader: RedBeatReader, scheduledQueues: SharedQueueNames, maximumEntrySeries: Int) {
        self.reader = reader
        self.scheduledQueues = scheduledQueues
        self.maximumEntrySeries = maximumEntrySeries
    }

    package func collect() throws(CollectionError) -> Collected {
        do {
            return Collected(
                try reader.read(),
                scheduler: "redbeat",
                scheduledQueues: scheduledQueues,
                maximumEntrySeries: maximumEntrySeries
            )
        } catch {
            throw CollectionError(error)
        }
    }
}
