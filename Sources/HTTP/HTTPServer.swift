internal import CMicroHTTPD
internal import Glibc
internal import Synchronization

/// Serves responses on one listening socket, on a thread of its own.
///
/// It knows no metric: `route` is asked for the response to each GET, HEAD and POST, on the server's thread, and must not
/// block. The body of a POST is left out.
package final class HTTPServer {
    private let loop: ServerLoop
    private let thread: pthread_t
    private var isStopped = false

    /// - Parameters:
    ///   - socket: which the server owns from now on.
    ///   - security: what clients must do to be served; nil for plain HTTP without passwords.
    package init(
        on socket: ListeningSocket,
        limits: HTTPLimits = HTTPLimits(),
        security: CurrentWebSecurity? = nil,
        route: @escaping @Sendable (HTTPRequest) -> HTTPResponse
    ) throws(HTTPServerError) {
        let loop = ServerLoop(limits: limits, security: security, route: route)
        let callbacks = shim_callbacks(
            request_line: receiveRequestLine,
            request: answer,
            completed: completeRequest,
            connection: changeConnection,
            context: Unmanaged.passUnretained(loop).toOpaque()
        )
        guard
            let daemon = shim_start_daemon(
                socket.descriptor,
                security?.value.tls != nil,
                // More than we allow, since those that are cut off take a moment to end.
                UInt32(limits.connections + 64),
                limits.connectionBytes,
                callbacks
            )
        else {
            close(socket.descriptor)
            throw HTTPServerError(name: socket.name, cause: "libmicrohttpd did not start")
        }
        self.loop = loop
        // The pointer is only used by the thread.
        let address = UInt(bitPattern: daemon)
        thread = WorkThread.start { loop.run(OpaquePointer(bitPattern: address)) }
    }

    /// Refuses new connections, ends the open ones and returns when the server's thread has ended.
    package func stop() {
        guard !isStopped else { return }
        isStopped = true
        loop.stop()
        pthread_join(thread, nil)
    }

    deinit {
        stop()
    }
}

/// What runs on a server's thread: libmicrohttpd, which calls the functions below, and the clock of its connections.
/// Only what says so may be used from other threads.
private final class ServerLoop: @unchecked Sendable {
    /// How soon it sees that it must stop.
    private static let tickMilliseconds: Int32 = 100
    private static let sweepMilliseconds: UInt64 = 500

    let security: CurrentWebSecurity?
    let route: @Sendable (HTTPRequest) -> HTTPResponse
    let limits: HTTPLimits
    var connections: ConnectionTable
    private let stopping = Atomic(false)
    /// Connections that libmicrohttpd has suspended until a password is verified, by the addresses it gave them.
    private let suspended = Mutex<Set<UInt>>([])

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
    let tooLarge = HTTPResponse(status: 500, text: "The answer would be larger than this server sends.")

    init(
        limits: HTTPLimits,
        security: CurrentWebSecurity?,
        route: @escaping @Sendable (HTTPRequest) -> HTTPResponse
    ) {
        self.limits = limits
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
        var nextSweep = Self.now
        while !stopping.load(ordering: .relaxed) {
            _ = MHD_run_wait(daemon, Self.tickMilliseconds)
            let now = Self.now
            guard now >= nextSweep else { continue }
            nextSweep = now + Self.sweepMilliseconds
            for connection in connections.cutOverdue(at: now) { cut(connection) }
        }
        // libmicrohttpd does not end before they go on.
        for address in suspended.withLock({ $0 }) { resume(address) {} }
        MHD_stop_daemon(daemon)
    }

    /// May be called from any thread.
    func stop() {
        stopping.store(true, ordering: .relaxed)
    }

    /// Ends a connection that is still in the table, whose descriptor is therefore still its own. libmicrohttpd sees an
    /// end of the stream, and closes it.
    func cut(_ connection: HTTPConnection) {
        // What was not yet sent is dropped, and not kept in the kernel for a client that does not fetch it.
        var atOnce = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.descriptor, SOL_SOCKET, SO_LINGER, &atOnce, socklen_t(MemoryLayout<linger>.size))
        shutdown(connection.descriptor, CInt(SHUT_RDWR))
    }

    /// Lets a connection wait for a password.
    func suspend(_ connection: OpaquePointer) {
        suspended.withLock { _ = $0.insert(UInt(bitPattern: connection)) }
        MHD_suspend_connection(connection)
    }

    /// Lets a connection go on, unless it does already. May be called from any thread.
    ///
    /// - Parameter prepare: changes its state, which is the server's thread's alone again once it goes on.
    private func resume(_ address: UInt, prepare: () -> Void) {
        suspended.withLock { suspended in
            guard suspended.remove(address) != nil else { return }
            prepare()
            MHD_resume_connection(OpaquePointer(bitPattern: address))
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
        guard let header = MHD_lookup_connection_value(connection, .HEADER_KIND, "Authorization"),
            let credentials = BasicCredentials(authorization: String(cString: header))
        else { return .refused }
        let address = UInt(bitPattern: connection)
        return verifier.verify(credentials, amongst: security.users, from: state.client) {
            suspend(connection)
        } finish: { [self] outcome in
            // Not where the server has stopped meanwhile: it lets all go on without an outcome.
            resume(address) { state.login = outcome }
        }
    }
}

// libmicrohttpd's callbacks. Free functions, because they are called by C.

private func loop(_ context: UnsafeMutableRawPointer?) -> ServerLoop? {
    context.map { Unmanaged<ServerLoop>.fromOpaque($0).takeUnretainedValue() }
}

private func state(of connection: OpaquePointer?) -> HTTPConnection? {
    shim_connection_context(connection).map { Unmanaged<HTTPConnection>.fromOpaque($0).takeUnretainedValue() }
}

/// A connection begins or ends. It ends before its descriptor is closed, and after its TLS session.
private func changeConnection(
    context: UnsafeMutableRawPointer?,
    connection: OpaquePointer?,
    place: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    change: MHD_ConnectionNotificationCode
) {
    guard let loop = loop(context), let place else { return }
    guard change == .CONNECTION_NOTIFY_STARTED else {
        guard let pointer = place.pointee else { return }
        loop.connections.end(Unmanaged<HTTPConnection>.fromOpaque(pointer).takeRetainedValue())
        place.pointee = nil
        return
    }
    let tls = loop.security?.value.tls
    let new = HTTPConnection(
        descriptor: shim_connection_socket(connection),
        client: ClientAddress(shim_client_address(connection)),
        tls: tls
    )
    place.pointee = Unmanaged.passRetained(new).toOpaque()
    if let tls, let session = shim_tls_session(connection) { tls.apply(to: OpaquePointer(session)) }
    var unsentBytes = CInt(loop.limits.unsentBytes)
    setsockopt(new.descriptor, SOL_SOCKET, SO_SNDBUF, &unsentBytes, socklen_t(MemoryLayout<CInt>.size))
    if let victim = loop.connections.begin(new, at: ServerLoop.now) { loop.cut(victim) }
}

/// The first line of a request has come. What is returned becomes the request's state in `answer`.
private func receiveRequestLine(
    context: UnsafeMutableRawPointer?,
    line: UnsafePointer<CChar>?,
    connection: OpaquePointer?
) -> UnsafeMutableRawPointer? {
    guard let loop = loop(context), let state = state(of: connection) else { return nil }
    loop.connections.receiveRequestLine(of: state, at: ServerLoop.now)
    return nil
}

/// A request has been answered, or has failed.
private func completeRequest(
    context: UnsafeMutableRawPointer?,
    connection: OpaquePointer?,
    requestState: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    code: MHD_RequestTerminationCode
) {
    guard let loop = loop(context), let state = state(of: connection) else { return }
    state.login = nil
    loop.connections.endAnswer(to: state, at: ServerLoop.now)
}

/// libmicrohttpd's access handler.
///
/// It is called first with the headers alone, where queueing a response would close the connection, then to answer, and
/// again where it has suspended the connection. `requestState` only tells the first call from the others. What may come with
/// a body is answered before that, so that the body is never read.
private func answer(
    context: UnsafeMutableRawPointer?,
    connection: OpaquePointer?,
    url: UnsafePointer<CChar>?,
    method: UnsafePointer<CChar>?,
    version: UnsafePointer<CChar>?,
    uploadData: UnsafePointer<CChar>?,
    uploadSize: UnsafeMutablePointer<Int>?,
    requestState: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    // A GET with a body is no request of anybody's.
    guard let loop = loop(context), let connection, let state = state(of: connection), let url, let method,
        let requestState, uploadSize?.pointee == 0
    else { return .NO }
    let security = loop.security?.value
    func queue(_ response: HTTPResponse) -> MHD_Result {
        response.queue(on: connection, adding: security?.headers)
    }
    let isFirst = requestState.pointee == nil
    requestState.pointee = context
    if isFirst { loop.connections.beginAnswer(to: state, at: ServerLoop.now) }
    guard let method = HTTPRequest.Method(rawValue: String(cString: method)) else {
        return queue(loop.methodNotAllowed)
    }
    guard !isFirst || method == .post else { return .YES }
    if let security {
        guard let login = loop.login(connection, state, security: security) else { return .YES }
        switch login {
        case .accepted: break
        case .refused: return queue(loop.unauthorized)
        case .busy: return queue(loop.busy)
        }
    }
    let response = loop.route(HTTPRequest(method: method, path: String(cString: url), connection: connection))
    return queue(response.byteCount <= loop.limits.responseBytes ? response : loop.tooLarge)
}
