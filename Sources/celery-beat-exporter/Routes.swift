internal import HTTP
internal import Synchronization

/// What is served under which path.
final class Routes: Sendable {
    static let reservedPaths = ["/", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/status", "/probe"]

    private let exporter: Exporter
    private let telemetryPath: String
    private let status: StatusRoutes
    private let healthy = HTTPResponse(status: 200, text: "Healthy.")
    private let ready = HTTPResponse(status: 200, text: "Ready.")
    private let collecting = HTTPResponse(status: 503, text: "Not ready: the first collections have not ended.")
    private let stopping = HTTPResponse(status: 503, text: "Not ready: shutting down.")
    private let lifecycle: Lifecycle?
    private let noLifecycle = HTTPResponse(
        status: 403,
        text: "Lifecycle API is not enabled. Start with --web.enable-lifecycle, or reload by SIGHUP: kill -HUP PID"
    )
    private let notGet = HTTPResponse.methodNotAllowed(allowed: "GET, HEAD")
    private let notPost = HTTPResponse.methodNotAllowed(allowed: "POST")
    private let notFound: HTTPResponse
    private let noTarget = HTTPResponse(
        status: 400,
        text: "Ask for /probe?target=NAME, with a name from the targets of the configuration file."
    )
    private let isStopping = Mutex(false)

    init(exporter: Exporter, telemetryPath: String, enablesLifecycle: Bool) {
        self.exporter = exporter
        lifecycle = enablesLifecycle ? Lifecycle(exporter: exporter) : nil
        self.telemetryPath = telemetryPath
        status = StatusRoutes(exporter: exporter, telemetryPath: telemetryPath)
        notFound = HTTPResponse(status: 404, text: "Not found. The metrics are at \(telemetryPath).")
    }

    func response(to request: HTTPRequest) -> HTTPResponse {
        if request.path == "/-/reload" {
            return request.method == .post ? lifecycle?.reload(request) ?? noLifecycle : notPost
        }
        guard request.method != .post else { return notGet }
        return switch request.path {
        case telemetryPath: exporter.target.metrics(for: request)
        case "/probe": probe(request)
        case "/-/healthy": healthy
        case "/-/ready": isStopping.withLock { $0 } ? stopping : exporter.isComplete ? ready : collecting
        case "/": status.page(for: request)
        case "/api/v1/status": status.json(for: request)
        default: notFound
        }
    }

    /// From now on the program is not ready.
    func beginShutdown() {
        isStopping.withLock { $0 = true }
    }

    private func probe(_ request: HTTPRequest) -> HTTPResponse {
        guard let target = request.parameter("target").flatMap({ exporter.target(named: $0) }) else { return noTarget }
        return target.metrics(for: request)
    }
}
