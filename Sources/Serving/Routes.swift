internal import Configuration
package import HTTP
internal import Synchronization
package import Watching

/// What is served. A new route is a path in `ServedPath`, and here what answers it.
package final class Routes: Sendable {
    private let routes: [(route: Route, notAllowed: HTTPResponse)]
    private let notFound: HTTPResponse
    private let readiness: Readiness

    package init(exporter: Exporter, telemetryPath: String, enablesLifecycle: Bool) {
        let status = StatusRoutes(exporter: exporter, telemetryPath: telemetryPath)
        let lifecycle = Lifecycle(exporter: exporter, isEnabled: enablesLifecycle)
        let readiness = Readiness(exporter: exporter)
        let healthy = HTTPResponse(status: 200, text: "Healthy.")
        let metrics = MetricsRoutes(exporter: exporter)
        let own = Route.get(telemetryPath) { request, _ in metrics.metrics(for: request) }
        let others = ServedPath.allCases.map { path -> Route in
            switch path {
            case .probe: .get(path.rawValue) { request, _ in metrics.probe(for: request) }
            case .page: .get(path.rawValue) { request, _ in status.page(for: request) }
            case .status: .get(path.rawValue) { request, _ in status.json(for: request) }
            case .healthy: .get(path.rawValue) { _, _ in healthy }
            case .ready: .get(path.rawValue) { _, _ in readiness.response }
            case .reload: .post(path.rawValue) { lifecycle.reload($0) }
            }
        }
        routes = ([own] + others).map { ($0, HTTPResponse.methodNotAllowed(allowed: $0.allowedMethods)) }
        notFound = HTTPResponse(status: 404, text: "Not found. The metrics are at \(telemetryPath).")
        self.readiness = readiness
    }

    package func answer(to request: HTTPRequest) -> HTTPAnswer {
        for (route, notAllowed) in routes {
            guard let parameters = route.parameters(of: request.path) else { continue }
            guard route.methods.contains(request.method) else { return .now(notAllowed) }
            return route.answer(request, parameters)
        }
        return .now(notFound)
    }

    /// From now on the program is not ready.
    package func beginShutdown() {
        readiness.end()
    }
}

/// Whether the program has looked at all sources once, and does not end.
private final class Readiness: Sendable {
    private let exporter: Exporter
    private let isStopping = Mutex(false)
    private let ready = HTTPResponse(status: 200, text: "Ready.")
    private let collecting = HTTPResponse(status: 503, text: "Not ready: the first collections have not ended.")
    private let stopping = HTTPResponse(status: 503, text: "Not ready: shutting down.")

    init(exporter: Exporter) {
        self.exporter = exporter
    }

    var response: HTTPResponse {
        isStopping.withLock { $0 } ? stopping : exporter.isComplete ? ready : collecting
    }

    func end() {
        isStopping.withLock { $0 = true }
    }
}
