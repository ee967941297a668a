internal import Glibc

/// Threads of our own, for what blocks: Swift's cooperative pool must not.
package enum DetachedThread {
    /// Runs `body` on a new thread that nobody waits for.
    ///
    /// - Returns: false where the system has no more threads.
    package static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        let context = Unmanaged.passRetained(Body(run: body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context.toOpaque()
        )
        guard status == 0 else {
            context.release()
            return false
        }
        pthread_detach(thread)
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

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }
}

/// The system has no more threads for this process.
package struct ThreadShortage: Error, CustomStringConvertible {
    package let description =
        "the system has no more threads for this process; raise its limit (ulimit -u, TasksMax of systemd, pids of a container)"

    package init() {}
}
