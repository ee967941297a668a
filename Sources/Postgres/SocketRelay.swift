internal import CLibPQ
internal import Glibc
internal import System

/// Stands between libpq and its server: libpq has one end of a pair of sockets, and gets of what the server sends as much as
/// it is given.
///
/// By itself libpq reads as long as there is something to read, into a buffer as large as the server announces, and it
/// computes whatever a login asks for. In small pieces all of that is counted, looked at and over in time.
final class SocketRelay {
    private let server: CInt
    private let near: CInt
    private let far: CInt
    /// Of libpq's end: it may close it, and get the same descriptor for another connection.
    private let inode: ino_t
    private var fromServer: ArraySlice<UInt8> = []
    private var toServer: [UInt8] = []
    private var hasServerEnded = false
    private var isClosed = false
    private var challenge = ScramChallenge()

    /// Bytes that libpq may still get.
    var allowance: Int

    enum Outcome: Equatable {
        /// libpq has something to read, or to write.
        case ready
        case late
        /// The server sends more than is allowed.
        case overLimit
        /// What the server wants for a login cannot be given.
        case refused(String)
    }

    private static let pieceBytes = 16 << 10
    /// What libpq wants to say waits here, up to so many bytes.
    private static let maximumWaiting = 256 << 10

    /// - Parameters:
    ///   - descriptor: libpq's connected socket. From now on it is an end of a pair.
    ///   - allowance: bytes that libpq may get.
    /// - Returns: nil where the system has no more descriptors.
    init?(before descriptor: CInt, allowance: Int) {
        let server = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        var pair: [CInt] = [-1, -1]
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard server >= 0, socketpair(AF_UNIX, kind, 0, &pair) == 0 else {
            if server >= 0 { Glibc.close(server) }
            return nil
        }
        var status = stat()
        guard dup2(pair[0], descriptor) >= 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0,
            fstat(descriptor, &status) == 0
        else {
            for one in [server, pair[0], pair[1]] { Glibc.close(one) }
            return nil
        }
        Glibc.close(pair[0])
        self.server = server
        near = pair[1]
        far = descriptor
        inode = status.st_ino
        self.allowance = allowance
    }

    deinit {
        close()
    }

    /// Carries the last word of libpq, which has closed its end, and hangs up.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        takeFromLibpq()
        Glibc.close(near)
        Glibc.close(server)
    }

    /// Whether this is libpq's socket, and not one that it has opened since.
    func stands(before descriptor: CInt) -> Bool {
        var status = stat()
        return descriptor == far && fstat(descriptor, &status) == 0 && status.st_ino == inode
    }

    /// Carries bytes both ways until libpq can go on.
    ///
    /// - Parameters:
    ///   - writing: whether it also goes on when it can write.
    ///   - tls: the connection's TLS; nil where there is none.
    ///   - isLoggingIn: whether the server may ask for computations.
    func carry(
        writing: Bool,
        tls: UnsafeMutableRawPointer?,
        isLoggingIn: Bool,
        until deadline: ContinuousClock.Instant
    ) -> Outcome {
        while true {
            guard ContinuousClock.now < deadline else { return .late }
            takeFromLibpq()
            // TLS may hold what no socket shows.
            if let tls, let pending = libpq.SSL_pending, pending(tls) > 0 { return .ready }
            if isReady(far, writing: writing) { return .ready }
            if fromServer.isEmpty { readFromServer() }
            if !fromServer.isEmpty {
                guard allowance > 0 else { return .overLimit }
                if let outcome = handOn(tls: tls, isLoggingIn: isLoggingIn) { return outcome }
            } else if hasServerEnded {
                shutdown(near, CInt(SHUT_WR))
                return .ready
            } else if !wait(until: deadline) {
                return .late
            }
        }
    }

    /// Gives libpq what it may have of what the server sent; nil where it can do nothing with it yet.
    private func handOn(tls: UnsafeMutableRawPointer?, isLoggingIn: Bool) -> Outcome? {
        // By single bytes it shows where a record ends, before libpq sees more than that.
        let count = isLoggingIn && tls != nil ? 1 : min(fromServer.count, allowance)
        let sent = fromServer.withUnsafeBytes { send(near, $0.baseAddress, count, CInt(MSG_NOSIGNAL)) }
        guard sent > 0 else { return .ready }
        allowance -= sent
        let handed = fromServer.prefix(sent)
        fromServer.removeFirst(sent)
        guard isLoggingIn else { return .ready }
        guard let tls else { return challenge.read(handed) ? .refused(ScramChallenge.refusal) : .ready }
        return peek(tls)
    }

    /// Looks at what TLS makes of it.
    private func peek(_ tls: UnsafeMutableRawPointer) -> Outcome? {
        guard let peek = libpq.SSL_peek, let clear = libpq.ERR_clear_error, let last = libpq.ERR_peek_last_error else {
            return .ready
        }
        var plain = [UInt8](repeating: 0, count: Self.pieceBytes)
        clear()
        let count = peek(tls, &plain, CInt(plain.count))
        if count > 0 {
            return challenge.read(plain.prefix(Int(count))) ? .refused(ScramChallenge.refusal) : .ready
        }
        // What went wrong is told only once.
        let error = last()
        guard error != 0 else { return nil }
        let reason = libpq.ERR_reason_error_string?(error).map { String(cString: $0) }
        return .refused("SSL error: \(reason ?? "code \(error)")")
    }

    private func readFromServer() {
        guard !hasServerEnded else { return }
        let count = Self.receive(from: server) { fromServer = ArraySlice($0) }
        if count == 0 || count < 0 && errno != EAGAIN && errno != EINTR { hasServerEnded = true }
    }

    private func takeFromLibpq() {
        while toServer.count < Self.maximumWaiting {
            // This thread is libpq's: what does not fill the piece is all.
            guard Self.receive(from: near, { toServer += $0 }) == Self.pieceBytes else { break }
        }
        guard !toServer.isEmpty else { return }
        let sent = send(server, toServer, toServer.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
        if sent > 0 {
            toServer.removeFirst(sent)
        } else if sent < 0, errno != EAGAIN, errno != EINTR {
            // It may have said why before it closed.
            toServer = []
        }
    }

    /// Reads a piece of what is there.
    ///
    /// - Returns: what `recv` does.
    private static func receive(from descriptor: CInt, _ body: (Slice<UnsafeRawBufferPointer>) -> Void) -> Int {
        withUnsafeTemporaryAllocation(byteCount: pieceBytes, alignment: 1) { piece in
            let count = recv(descriptor, piece.baseAddress, piece.count, CInt(MSG_DONTWAIT))
            if count > 0 { body(UnsafeRawBufferPointer(piece).prefix(count)) }
            return count
        }
    }

    private func isReady(_ descriptor: CInt, writing: Bool) -> Bool {
        var state = pollfd(fd: descriptor, events: Int16(writing ? POLLIN | POLLOUT : POLLIN), revents: 0)
        return poll(&state, 1, 0) > 0
    }

    /// False when the deadline came first.
    private func wait(until deadline: ContinuousClock.Instant) -> Bool {
        DescriptorWait.until(toServer.isEmpty ? .readable : .either, server, by: deadline)
    }
}
