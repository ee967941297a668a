internal import CMicroHTTPD
internal import Glibc
internal import Passwords
internal import Synchronization
internal import System

/// What runs on a server's thread: libmicrohttpd, which calls the functions below, and the clock of its connections.
/// Only what says so may be used from other threads.
final class ServerLoop: @unchecked Sendable {
    /// Between two looks for connections that are over their time, at least.
    private static let sweepMilliseconds: UInt64 = 500
    /// Between two looks for a client while there is none.
    private static let idleMicroseconds: UInt32 = 10_000

    let security: CurrentWebSecurity?
    let route: @Sendable (HTTPRequest) -> HTTPAnswer
    let limits: HTTPLimits
    var connections: ConnectionTable
    /// Connections that have begun since the start, and those that have ended.
    var beginnings = 0
    var endings = 0
    private let stopping = Atomic(false)
    private let waker: Waker
    /// Connections that libmicrohttpd has suspended until a password is verified or an answer worked out, with the addresses it
    /// gave them.
    private let suspended = Mutex<[ObjectIdentifier: (state: HTTPConnection, address: UInt)]>([:])

    let badRequest = HTTPResponse(
        status: 400,
        text: "This request can be read in more than one way, or has a body.",
        headers: [("Connection", "close")]
    )
    let methodNotAllowed = HTTPResponse.methodNotAllowed(allowed: "GET, HEAD")
    let unauthorized = HTTPResponse(
        status: 401,
        text: "Unauthorized.",
        headers: [("WWW-Authenticate", "Basic realm=\"exporter\", charset=\"UTF-8\"")]
    )
    let busy = HTTPResponse(
        status: 503,
        text: "Too many passwords wait to be verified. Try again.",
        headers: [("Retry-After", "1")]
    )
    let noThread = HTTPResponse(
        status: 503,
        text: "The system has no thread for this request. Try again.",
        headers: [("Retry-After", "1")]
    )
    /// To clients that are not there to read it.
    let ended = HTTPResponse(status: 503, text: "It took too long, or the server ends.")
    let tooLarge = HTTPResponse(status: 500, text: "The answer would be larger than this server sends.")

    /// - Parameter waker: of the thread that is to `run`.
    init(
        limits: HTTPLimits,
        waker: Waker,
        security: CurrentWebSecurity?,
        route: @escaping @Sendable (HTTPRequest) -> HTTPAnswer
    ) {
        self.limits = limits
        self.waker = waker
        self.security = security
        self.route = route
        connections = ConnectionTable(limits: limits)
    }

    /// Milliseconds on a clock that only goes forward, and is a few milliseconds behind.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }

    func run(_ daemon: OpaquePointer?) {
        // No step that a connection has to take is due sooner after the one before.
        let shortest = UInt64(min(limits.requestSeconds, limits.responseSeconds, limits.idleSeconds)) * 1000
        // Nil without connections.
        var nextSweep: UInt64?
        // Where it had no room, libmicrohttpd looks for clients that wait at its next run alone.
        var hasMadeRoom = false
        while !stopping.load(ordering: .relaxed) {
            let (begun, ended) = (beginnings, endings)
            wait(for: daemon, until: hasMadeRoom ? Self.now : nextSweep)
            MHD_run(daemon)
            hasMadeRoom = endings != ended
            guard connections.count > 0 else {
                nextSweep = nil
                // Where the system has no descriptor left, it comes back at once, again and again, with a client still to
                // accept.
                if beginnings == begun, !hasMadeRoom { usleep(Self.idleMicroseconds) }
                continue
            }
            let now = Self.now
            if let sweep = nextSweep, now >= sweep {
                for connection in connections.cutOverdue(at: now) { cut(connection) }
                nextSweep = max(connections.nextDeadline ?? .max, now + Self.sweepMilliseconds)
            }
            nextSweep = min(nextSweep ?? .max, now + shortest)
        }
        // libmicrohttpd does not end before they go on.
        for (state, _) in suspended.withLock({ Array($0.values) }) { resume(state) { state.response = ended } }
        MHD_stop_daemon(daemon)
    }

    /// Returns when libmicrohttpd has something to do, the time has come, or the server is to stop.
    private func wait(for daemon: OpaquePointer?, until time: UInt64?) {
        var milliseconds: UInt64 = 0
        let rest = time.map { $0 - min($0, Self.now) } ?? .max
        if MHD_get_timeout(daemon, &milliseconds) != .YES { milliseconds = .max }
        milliseconds = min(milliseconds, rest)
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { descriptors in
            descriptors[0] = pollfd(fd: shim_epoll_descriptor(daemon), events: Int16(POLLIN), revents: 0)
            descriptors[1] = pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0)
            poll(descriptors.baseAddress, 2, milliseconds == .max ? -1 : CInt(clamping: milliseconds))
            if descriptors[1].revents != 0 { waker.drain() }
        }
    }

    /// May be called from any thread.
    func stop() {
        stopping.store(true, ordering: .relaxed)
        waker.wake()
    }

    /// Ends a connection that is still in the table, whose descriptor is therefore still its own. libmicrohttpd sees an
    /// end of the stream, and closes it.
    func cut(_ connection: HTTPConnection) {
        // What was not yet sent is dropped, and not kept in the kernel for a client that does not fetch it.
        var atOnce = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.descriptor, SOL_SOCKET, SO_LINGER, &atOnce, socklen_t(MemoryLayout<linger>.size))
        shutdown(connection.descriptor, CInt(SHUT_RDWR))
        // While it is suspended libmicrohttpd does not look.
        resume(connection) { connection.response = ended }
    }

    func bounded(_ response: HTTPResponse) -> HTTPResponse {
        response.byteCount <= limits.responseBytes ? response : tooLarge
    }

    /// Works out an answer while its connection waits.
    func work(
        for connection: OpaquePointer,
        _ state: HTTPConnection,
        _ work: @escaping @Sendable () -> HTTPResponse
    ) {
        // Before the other thread can have ended.
        suspend(connection, state)
        let isStarted = WorkThread.detach { [self] in
            let response = bounded(work())
            // Not where the server has stopped meanwhile or has cut it off.
            resume(state) { state.response = response }
        }
        if !isStarted { resume(state) { state.response = noThread } }
    }

    /// Lets a connection wait.
    private func suspend(_ connection: OpaquePointer, _ state: HTTPConnection) {
        suspended.withLock { $0[ObjectIdentifier(state)] = (state, UInt(bitPattern: connection)) }
        MHD_suspend_connection(connection)
    }

    /// Lets a connection go on, unless it does already. May be called from any thread.
    ///
    /// - Parameter prepare: changes its state, which is the server's thread's alone again once it goes on.
    private func resume(_ state: HTTPConnection, prepare: () -> Void) {
        suspended.withLock { suspended in
            guard let (_, address) = suspended.removeValue(forKey: ObjectIdentifier(state)) else { return }
            prepare()
            MHD_resume_connection(OpaquePointer(bitPattern: address))
            // That alone does not make libmicrohttpd's own descriptor readable.
            waker.wake()
        }
    }

    /// Whether the sender of a request may be answered; nil if that must be found out first, after which the request's
    /// handler is called again.
    func login(_ connection: OpaquePointer, _ state: HTTPConnection, security: WebSecurity) -> LoginOutcome? {
        guard !security.users.isEmpty, let verifier = self.security?.verifier else { return .accepted }
        if let outcome = state.login {
            state.login = nil
            return outcome
        }
        guard !state.isCut else { return .busy }
        guard let header = MHD_lookup_connection_value(connection, .HEADER_KIND, "Authorization"),
            let credentials = BasicCredentials(authorization: String(cString: header))
        else { return .refused }
        return verifier.verify(credentials, amongst: security.users, from: state.client) {
            suspend(connection, state)
        } finish: { [self] outcome in
            // Not where the server has stopped meanwhile or has cut it off: it goes on without an outcome.
            resume(state) { state.login = outcome }
        }
    }
}
