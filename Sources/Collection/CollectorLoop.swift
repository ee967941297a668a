package import Logging

/// Runs one collector at its interval, on a thread of its own, and publishes what it brings.
package final class CollectorLoop: Sendable {
    private let definition: CollectorDefinition
    private let snapshot: Snapshot
    private let interval: Duration
    private let logger: Logger
    private let stopping = Event()

    package init(_ definition: CollectorDefinition, into snapshot: Snapshot, every interval: Duration, logger: Logger) {
        self.definition = definition
        self.snapshot = snapshot
        self.interval = interval
        self.logger = logger
    }

    /// Starts the thread, which ends some time after `stop`.
    package func start() {
        // The thread owns the loop until it ends.
        DetachedThread.start { self.run() }
    }

    /// Lets the running collection end and starts no other.
    package func stop() {
        stopping.raise()
    }

    private func run() {
        DetachedThread.name(definition.name)
        var collector = definition.make()
        var journal = CollectionJournal(collector: definition.name, logger: logger)
        var next = ContinuousClock.now
        repeat {
            let start = ContinuousClock.now
            let result = Result { () throws(CollectionError) in try collector.collect() }
            snapshot.publish(definition.name, result, took: start.duration(to: .now) / .seconds(1))
            journal.note(result)
            // Collections keep their beat; those that a slow one overran are left out.
            repeat { next += interval } while next <= ContinuousClock.now
        } while !stopping.wait(until: next)
    }
}
