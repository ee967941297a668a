internal import Glibc

/// A flag that wakes whoever waits for it. It costs no descriptor: there may be thousands.
package final class Event: Sendable {
    // Written only here and in deinit; all that happens to them in between is what they are made for.
    nonisolated(unsafe) private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    nonisolated(unsafe) private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Read and written while `mutex` is held.
    nonisolated(unsafe) private var isRaised = false

    package init() {
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

    package func raise() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isRaised = true
        pthread_cond_broadcast(condition)
    }

    /// Whether it was raised before the time was over.
    package func wait(until instant: ContinuousClock.Instant) -> Bool {
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
