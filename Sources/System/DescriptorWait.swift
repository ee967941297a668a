internal import Glibc

/// Waits for descriptors.
package enum DescriptorWait {
    package enum Readiness: Sendable {
        case readable
        case writable
        case either
    }

    /// Blocks until a descriptor is ready. A failure of it counts as that: it shows in whatever is done with it next.
    ///
    /// - Returns: false when the deadline came first.
    package static func until(_ readiness: Readiness, _ descriptor: CInt, by deadline: Deadline) -> Bool {
        let events =
            switch readiness {
            case .readable: POLLIN
            case .writable: POLLOUT
            case .either: POLLIN | POLLOUT
            }
        var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        while true {
            let remaining = ContinuousClock.now.duration(to: deadline)
            guard remaining > .zero else { return false }
            let count = poll(&polled, 1, CInt(clamping: Int64(min(remaining / .milliseconds(1), 1e9)) + 1))
            if count > 0 || count < 0 && errno != EINTR { return true }
        }
    }
}
