internal import Collection
internal import Exposition
internal import HTTP
internal import Synchronization

/// What is served under which path.
final class Routes: Sendable {
    static let reservedPaths = ["/", "/-/healthy", "/-/ready"]

    private let snapshot: Snapshot
    private let telemetryPath: String
    private let landingPage: HTTPResponse
    private let healthy = HTTPResponse(status: 200, text: "Healthy.")
    private let ready = HTTPResponse(status: 200, text: "Ready.")
    private let collecting = HTTPResponse(status: 503, text: "Not ready: the first collections have not ended.")
    private let stopping = HTTPResponse(status: 503, text: "Not ready: shutting down.")
    private let notFound: HTTPResponse
    private let isStopping = Mutex(false)
    private let encoded = Mutex<(response: HTTPResponse, generation: Int)?>(nil)

    init(snapshot: Snapshot, telemetryPath: String) {
        self.snapshot = snapshot
        self.telemetryPath = telemetryPath
        landingPage = HTTPResponse(
            contentType: "text/html; charset=utf-8",
            body: Array(LandingPage.html(telemetryPath: telemetryPath).utf8)
        )
        notFound = HTTPResponse(status: 404, text: "Not found. The metrics are at \(telemetryPath).")
    }

    func response(to request: HTTPRequest) -> HTTPResponse {
        switch request.path {
        case telemetryPath: metrics()
        case "/-/healthy": healthy
        case "/-/ready": isStopping.withLock { $0 } ? stopping : snapshot.isComplete ? ready : collecting
        case "/": landingPage
        default: notFound
        }
    }

    /// From now on the program is not ready.
    func beginShutdown() {
        isStopping.withLock { $0 = true }
    }

    /// The exposition, encoded once for each change of the snapshot however often it is asked for.
    private func metrics() -> HTTPResponse {
        encoded.withLock { encoded in
            if let encoded, encoded.generation == snapshot.generation { return encoded.response }
            let (families, generation) = snapshot.gather()
            let response = HTTPResponse(contentType: TextFormat.contentType, body: TextFormat.encode(families))
            encoded = (response, generation)
            return response
        }
    }
}
