internal import Glibc

/// Wakes a thread that waits for descriptors.
package final class Waker: Sendable {
    /// Readable from `wake` to `drain`.
    package let descriptor: CInt
    private let otherEnd: CInt

    /// Nil where the process may open no more files.
    package init?() {
        var ends: [CInt] = [-1, -1]
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return nil }
        (descriptor, otherEnd) = (ends[0], ends[1])
    }

    deinit {
        close(descriptor)
        close(otherEnd)
    }

    /// May be called from any thread.
    package func wake() {
        var byte: UInt8 = 1
        // Where there is no room, it is readable already.
        _ = write(otherEnd, &byte, 1)
    }

    /// What was called before is over.
    package func drain() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(descriptor, &bytes, bytes.count) > 0 {}
    }
}
