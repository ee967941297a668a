package import Celery
package import Collection
internal import Postgres

/// Whether a beat with django-celery-beat's DatabaseScheduler lives and does what it promised.
package struct DatabaseSchedulerCollector: Collector {
    private let reader: DatabaseSchedulerReader
    private let scheduledQueues: SharedQueueNames
    private let maximumEntrySeries: Int

    /// - Parameters:
    ///   - reader: what reads django-celery-beat's tables.
    ///   - scheduledQueues: where to put the queues that entries name.
    ///   - maximumEntrySeries: entries that get series of their own; 0 for none.
    package init(reader: DatabaseSchedulerReader, scheduledQueues: SharedQueueNames, maximumEntrySeries: Int) {
        self.reader = reader
        self.scheduledQueues = scheduledQueues
        self.maximumEntrySeries = maximumEntrySeries
    }

    package func collect() throws(CollectionError) -> Collected {
        do {
            return Collected(
                try reader.read(),
                scheduler: "django",
                scheduledQueues: scheduledQueues,
                maximumEntrySeries: maximumEntrySeries
            )
        } catch {
            throw CollectionError(error)
        }
    }
}
