internal import Glibc
package import Logging

/// Runs one collector at its interval, on a thread of its own, and publishes what it brings.
package final class CollectorLoop: Sendable {
    private let definition: CollectorDefinition
    private let snapshot: Snapshot
    private let interval: Duration
    private let logger: Logger
    private let stopping = StopSignal()

    package init(_ definition: CollectorDefinition, into snapshot: Snapshot, every interval: Duration, logger: Logger) {
        self.definition = definition
        self.snapshot = snapshot
        self.interval = interval
        self.logger = logger
    }

    /// Starts the thread, which ends some time after `stop`.
    package func start() {
        // The thread owns the loop until it ends.
        let loop = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<CollectorLoop>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            loop.toOpaque()
        )
        precondition(status == 0, "the system has no thread for the collector \(definition.name)")
        pthread_detach(thread)
    }

    /// Lets the running collection end and starts no other.
    package func stop() {
        stopping.raise()
    }

    private func run() {
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

/// A flag that wakes whoever waits for it.
private final class StopSignal: Sendable {
    private let readEnd: CInt
    private let writeEnd: CInt

    init() {
        var ends: [CInt] = [0, 0]
        precondition(pipe(&ends) == 0, "the system has no descriptors for a pipe")
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    func raise() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Whether it was raised before the time was over.
    func wait(until instant: ContinuousClock.Instant) -> Bool {
        var descriptor = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
        while true {
            let remaining = ContinuousClock.now.duration(to: instant)
            guard remaining > .zero else { return false }
            if poll(&descriptor, 1, CInt(clamping: Int64(remaining / .milliseconds(1)) + 1)) > 0 { return true }
        }
    }
}
