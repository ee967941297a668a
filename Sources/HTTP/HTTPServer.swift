internal import CMicroHTTPD
internal import Glibc

/// Bounds on what clients may take.
package struct HTTPLimits: Sendable {
    package var connections: UInt32 = 512
    package var connectionsPerAddress: UInt32 = 256
    /// Seconds a connection may stay silent.
    package var idleSeconds: UInt32 = 60
    /// Bytes of memory for one connection: headers that do not fit are refused with 431.
    package var connectionBytes = 16 << 10

    package init() {}
}

/// Serves responses on one listening address, on a thread of libmicrohttpd's.
///
/// It knows no metric: `route` is asked for the response to each GET, HEAD and POST, on the server's thread, and must not
/// block. The body of a POST is left out.
package final class HTTPServer {
    package let port: UInt16
    private let daemon: OpaquePointer
    private let context: Unmanaged<RouteContext>

    package init(
        listening address: ListenAddress,
        limits: HTTPLimits = HTTPLimits(),
        route: @escaping @Sendable (HTTPRequest) -> HTTPResponse
    ) throws(HTTPServerError) {
        let descriptor = try address.listen()
        let port = ListenAddress.port(of: descriptor)
        let context = Unmanaged.passRetained(RouteContext(route: route))
        guard
            let daemon = shim_start_daemon(
                descriptor,
                limits.connections,
                limits.connectionsPerAddress,
                limits.idleSeconds,
                limits.connectionBytes,
                answer,
                context.toOpaque()
            )
        else {
            context.release()
            close(descriptor)
            throw HTTPServerError(address: address, cause: "libmicrohttpd did not start")
        }
        self.port = port
        self.daemon = daemon
        self.context = context
    }

    /// Refuses new connections, ends the open ones and returns when the server's thread has ended.
    package func stop() {
        guard !stopped else { return }
        stopped = true
        MHD_stop_daemon(daemon)
        context.release()
    }

    private var stopped = false

    deinit {
        stop()
    }
}

/// What libmicrohttpd hands back to `answer` with each request.
private final class RouteContext: Sendable {
    let route: @Sendable (HTTPRequest) -> HTTPResponse
    let methodNotAllowed = HTTPResponse.methodNotAllowed(allowed: "GET, HEAD")

    init(route: @escaping @Sendable (HTTPRequest) -> HTTPResponse) {
        self.route = route
    }
}

/// libmicrohttpd's access handler. A free function, because it is called on a thread that Swift knows nothing of.
///
/// It is called twice for each request: first with the headers alone, where queueing a response would close the
/// connection, then to be answered. `requestState` only tells the two calls apart. What may come with a body is answered at
/// the first, so that the body is never read.
private func answer(
    handlerContext: UnsafeMutableRawPointer?,
    connection: OpaquePointer?,
    url: UnsafePointer<CChar>?,
    method: UnsafePointer<CChar>?,
    version: UnsafePointer<CChar>?,
    uploadData: UnsafePointer<CChar>?,
    uploadSize: UnsafeMutablePointer<Int>?,
    requestState: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let handlerContext, let url, let method, let requestState else { return .NO }
    let context = Unmanaged<RouteContext>.fromOpaque(handlerContext).takeUnretainedValue()
    func queue(_ response: HTTPResponse) -> MHD_Result {
        MHD_queue_response(connection, response.status, response.response)
    }
    guard let method = HTTPRequest.Method(rawValue: String(cString: method)) else {
        return queue(context.methodNotAllowed)
    }
    guard requestState.pointee != nil || method == .post else {
        requestState.pointee = handlerContext
        return .YES
    }
    return queue(context.route(HTTPRequest(method: method, path: String(cString: url), connection: connection)))
}
