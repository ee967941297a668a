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

/// A flag that wakes whoever waits for it. It costs no descriptor: there may be thousands of loops.
private final class StopSignal: Sendable {
    // Written only here and in deinit; all that happens to them in between is what they are made for.
    nonisolated(unsafe) private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    nonisolated(unsafe) private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Read and written while `mutex` is held.
    nonisolated(unsafe) private var isRaised = false

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Waiting goes on undisturbed while somebody sets the clock.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func raise() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isRaised = true
        pthread_cond_broadcast(condition)
    }

    /// Whether it was raised before the time was over.
    func wait(until instant: ContinuousClock.Instant) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isRaised {
            let remaining = ContinuousClock.now.duration(to: instant)
            guard remaining > .zero else { return false }
            var end = timespec()
            clock_gettime(CLOCK_MONOTONIC, &end)
            let nanoseconds = end.tv_nsec + Int(remaining.components.attoseconds / 1_000_000_000) + 1
            end.tv_sec += Int(remaining.components.seconds) + nanoseconds / 1_000_000_000
            end.tv_nsec = nanoseconds % 1_000_000_000
            pthread_cond_timedwait(condition, mutex, &end)
        }
        return true
    }
}
