internal import Glibc
internal import Synchronization
internal import System

/// Writes lines to a descriptor on a thread of its own, in their order, so that nobody who has something to say waits for
/// whoever reads it: a pipe that nobody empties holds up neither scrapes nor collections. What there is no room for is dropped,
/// and how much that was is said as soon as there is room again.
final class LogWriter: Sendable {
    private static let maximumLines = 1000
    private static let maximumBytes = 1 << 20

    private struct Entry {
        let bytes: [UInt8]
        /// How many lines are lost if it is.
        let lines: Int
    }

    private struct State {
        var entries: [Entry] = []
        var bytes = 0
        var dropped = 0
        /// Whether the thread is at work.
        var isWriting = false
    }

    private let descriptor: CInt
    /// Whether whoever has something to say writes it: a file takes what it is given, or refuses it, at once.
    nonisolated(unsafe) private var writesAtOnce: Bool
    /// The line that says how many were dropped.
    private let notice: @Sendable (Int) -> [UInt8]
    private let state = Mutex(State())
    /// Raised for each line. It lasts as long as the program, as the thread does.
    nonisolated(unsafe) private let lines = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    /// Starts the thread, which takes no signals if they are blocked by then.
    init(_ descriptor: CInt, notice: @escaping @Sendable (Int) -> [UInt8]) {
        self.descriptor = descriptor
        self.notice = notice
        var status = stat()
        writesAtOnce = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        sem_init(lines, 0, 0)
        guard !writesAtOnce else { return }
        writesAtOnce = !WorkThread.detach { [self] in
            while true { writeThem() }
        }
    }

    /// Lines that were dropped, which has not been said yet.
    var dropped: Int { state.withLock { $0.dropped } }

    /// Takes a line, and returns at once.
    func write(_ line: [UInt8]) {
        state.withLock { state in
            guard state.entries.count < Self.maximumLines, state.bytes < Self.maximumBytes else {
                state.dropped += 1
                return
            }
            noteDropped(&state)
            append(Entry(bytes: line, lines: 1), to: &state)
            state.isWriting = true
            guard writesAtOnce else { return }
            var isWritten = true
            while let entry = next(&state, after: isWritten) {
                isWritten = writeAll(entry.bytes)
                if !isWritten { state.dropped += entry.lines }
            }
        }
        sem_post(lines)
    }

    /// Returns when all has been written, or after so long.
    func flush(within limit: Duration) {
        let end = ContinuousClock.now + limit
        while state.withLock({ $0.isWriting }), ContinuousClock.now < end { usleep(2000) }
    }

    private func append(_ entry: Entry, to state: inout State) {
        state.entries.append(entry)
        state.bytes += entry.bytes.count
    }

    /// Says how many were dropped before what comes next.
    private func noteDropped(_ state: inout State) {
        guard state.dropped > 0 else { return }
        append(Entry(bytes: notice(state.dropped), lines: state.dropped), to: &state)
        state.dropped = 0
    }

    /// Writes what there is, once there is something.
    private func writeThem() {
        while sem_wait(lines) != 0 {}
        var isWritten = true
        while let entry = state.withLock({ next(&$0, after: isWritten) }) {
            isWritten = writeAll(entry.bytes)
            if !isWritten { state.withLock { $0.dropped += entry.lines } }
        }
    }

    /// Where one cannot be written, for want of room on a disk say, the next line is the next attempt.
    private func next(_ state: inout State, after isWritten: Bool) -> Entry? {
        if state.entries.isEmpty, isWritten { noteDropped(&state) }
        guard !state.entries.isEmpty else {
            state.isWriting = false
            return nil
        }
        let entry = state.entries.removeFirst()
        state.bytes -= entry.bytes.count
        return entry
    }

    private func writeAll(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                // Somebody who shares it does not want to be blocked.
                var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&polled, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
