internal import Glibc

/// Somebody who waits for a connection: one thread sleeps, another ends it, under the lock of the `PostgresConnections`.
final class ConnectionWait: @unchecked Sendable {
    let address: PostgresAddress
    /// When it was last served; nil when never.
    let lastTurn: ContinuousClock.Instant?
    /// What it got; nil for the right to open one. Read when `isOver`.
    private(set) var connection: PostgresConnection?
    private var hasEnded = false
    // It costs no descriptor: there may be thousands.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(for address: PostgresAddress, lastTurn: ContinuousClock.Instant?) {
        self.address = address
        self.lastTurn = lastTurn
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

    var isOver: Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return hasEnded
    }

    func end(with connection: PostgresConnection?) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        hasEnded = true
        self.connection = connection
        pthread_cond_signal(condition)
    }

    /// Until it is over, or the time is.
    func sleep(until deadline: ContinuousClock.Instant) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasEnded {
            let remaining = ContinuousClock.now.duration(to: deadline)
            guard remaining > .zero else { return }
            var end = timespec()
            clock_gettime(CLOCK_MONOTONIC, &end)
            let nanoseconds = end.tv_nsec + Int(remaining.components.attoseconds / 1_000_000_000) + 1
            end.tv_sec += Int(remaining.components.seconds) + nanoseconds / 1_000_000_000
            end.tv_nsec = nanoseconds % 1_000_000_000
            pthread_cond_timedwait(condition, mutex, &end)
        }
    }
}
