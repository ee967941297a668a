internal import CMicroHTTPD
internal import Glibc
internal import Passwords
internal import System
internal import TLS

/// Serves responses on one listening socket, on a thread of its own.
///
/// It knows no metric: `route` is asked for the answer to each GET, HEAD and POST, on the server's thread, and must not
/// block. The body of a POST is left out.
package final class HTTPServer {
    private let loop: ServerLoop
    private let thread: WorkThread.Handle
    private var isStopped = false

    /// - Parameters:
    ///   - socket: which the server owns from now on.
    ///   - security: what clients must do to be served; nil for plain HTTP without passwords.
    package init(
        on socket: ListeningSocket,
        limits: HTTPLimits = HTTPLimits(),
        security: CurrentWebSecurity? = nil,
        route: @escaping @Sendable (HTTPRequest) -> HTTPAnswer
    ) throws(HTTPServerError) {
        guard let waker = Waker() else {
            close(socket.descriptor)
            throw HTTPServerError(name: socket.name, cause: String(cString: strerror(errno)))
        }
        let loop = ServerLoop(limits: limits, waker: waker, security: security, route: route)
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
                UInt32(limits.connections + limits.endingConnections),
                limits.connectionBytes,
                callbacks
            )
        else {
            close(socket.descriptor)
            throw HTTPServerError(name: socket.name, cause: "libmicrohttpd did not start")
        }
        // The pointer is only used by the thread.
        let address = UInt(bitPattern: daemon)
        guard let thread = WorkThread.start({ loop.run(OpaquePointer(bitPattern: address)) }) else {
            MHD_stop_daemon(daemon)
            throw HTTPServerError(name: socket.name, cause: ThreadShortage().description)
        }
        self.loop = loop
        self.thread = thread
    }

    /// Refuses new connections, ends the open ones and returns when the server's thread has ended.
    package func stop() {
        guard !isStopped else { return }
        isStopped = true
        loop.stop()
        thread.join()
    }

    deinit {
        stop()
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
        loop.endings += 1
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
    loop.beginnings += 1
    if let victim = loop.connections.begin(new, at: ServerLoop.now) { loop.cut(victim) }
}

/// The first line of a request has come. What is returned becomes the request's state in `answer`.
private func receiveRequestLine(
    context: UnsafeMutableRawPointer?,
    line: UnsafePointer<CChar>?,
    connection: OpaquePointer?
) -> UnsafeMutableRawPointer? {
    guard let loop = loop(context), let state = state(of: connection) else { return nil }
    state.target = line.map { RequestTarget($0) }
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
    state.response = nil
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
    guard let loop = loop(context), let connection, let state = state(of: connection), let url, let method, let version,
        let requestState, let target = state.target, uploadSize?.pointee == 0
    else { return .NO }
    let security = loop.security?.value
    func queue(_ response: HTTPResponse) -> MHD_Result {
        response.queue(on: connection, adding: security?.headers)
    }
    // It has waited for that.
    if let response = state.response { return queue(response) }
    let isFirst = requestState.pointee == nil
    requestState.pointee = context
    let known = HTTPRequest.Method(rawValue: String(cString: method))
    if isFirst {
        loop.connections.beginAnswer(to: state, at: ServerLoop.now)
        guard
            RequestSyntax.isUnambiguous(
                connection,
                method: method,
                target: target,
                version: version,
                mayHaveBody: known != .get && known != .head
            )
        else { return queue(loop.badRequest) }
    }
    guard let method = known else { return queue(loop.methodNotAllowed) }
    guard !isFirst || method == .post else { return .YES }
    if let security {
        guard let login = loop.login(connection, state, security: security) else { return .YES }
        switch login {
        case .accepted: break
        case .refused: return queue(loop.unauthorized)
        case .busy: return queue(loop.busy)
        }
    }
    let request = HTTPRequest(method: method, target: String(cString: url), connection: connection)
    switch loop.route(request) {
    case .now(let response): return queue(loop.bounded(response))
    case .later where state.isCut: return queue(loop.ended)
    case .later(let work):
        loop.work(for: connection, state, work)
        return .YES
    }
}
