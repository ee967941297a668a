internal import Glibc

/// A thread of our own, for work that blocks: Swift's cooperative pool must not.
package enum WorkThread {
    private final class Work: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    /// Starts a thread, which somebody must `join`; nil where the system has no more.
    package static func start(_ body: @escaping @Sendable () -> Void) -> Handle? {
        let work = Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { work in
                guard let work else { return nil }
                Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body()
                return nil
            },
            work.toOpaque()
        )
        guard status == 0 else {
            work.release()
            return nil
        }
        return Handle(thread: thread)
    }

    /// Starts a thread that nobody waits for.
    ///
    /// - Returns: false where the system has no more threads.
    package static func detach(_ body: @escaping @Sendable () -> Void) -> Bool {
        guard let handle = start(body) else { return false }
        pthread_detach(handle.thread)
        return true
    }

    /// Names the thread that asks for it, as `ps -L` and the report of a trap show it: the first 15 bytes.
    package static func name(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        let bytes = Array(name.utf8.prefix(15))
        _ = write(file, bytes, bytes.count)
        close(file)
    }

    /// Blocks the thread that asks until then.
    package static func sleep(until instant: ContinuousClock.Instant) {
        while case let rest = ContinuousClock.now.duration(to: instant), rest > .zero {
            usleep(UInt32(clamping: Int64(min(rest / .microseconds(1), 1e6)) + 1))
        }
    }

    /// A running thread.
    package struct Handle {
        fileprivate let thread: pthread_t

        /// Returns when the thread has ended. Once, at most.
        package func join() {
            pthread_join(thread, nil)
        }
    }
}

/// The system has no more threads for this process.
package struct ThreadShortage: Error, CustomStringConvertible {
    package let description =
        "the system has no more threads for this process; raise its limit (ulimit -u, TasksMax of systemd, pids of a container)"

    package init() {}
}
