internal import Compression
internal import Configuration
internal import HTTP
internal import Status
internal import Synchronization
internal import System
internal import Watching

/// The status as a page and as JSON. Ages grow by themselves, so an answer is good for a second only; however many ask within
/// it, it is put together once.
final class StatusRoutes: Sendable {
    /// What an answer depends on, beside the time.
    private struct Key: Hashable {
        var target: String?
        var isPage: Bool
        var showsAllRows: Bool
        var isCompressed: Bool
    }

    private struct Answer {
        let response: HTTPResponse
        let validUntil: ContinuousClock.Instant
    }

    private static let validity = Duration.seconds(1)
    /// Answers that are kept, for different things that are asked within that time: more are put together each time.
    private static let maximumAnswers = 32

    private let exporter: Exporter
    private let telemetryPath: String
    private let answers = Mutex<[Key: Answer]>([:])

    init(exporter: Exporter, telemetryPath: String) {
        self.exporter = exporter
        self.telemetryPath = telemetryPath
    }

    /// The page: `target` names an application of the configuration file, `rows=all` shows long tables in whole.
    func page(for request: HTTPRequest) -> HTTPResponse {
        response(to: request, isPage: true) ?? noTargetPage
    }

    /// The same for programs: `target` as above.
    func json(for request: HTTPRequest) -> HTTPResponse {
        response(to: request, isPage: false) ?? noTargetJSON
    }

    /// Nil where there is no such target, or more than one is asked for.
    private func response(to request: HTTPRequest, isPage: Bool) -> HTTPResponse? {
        let names = request.parameters("target")
        let name = names.first
        guard names.count <= 1, let target = name.map({ exporter.target(named: $0) }) ?? exporter.target else {
            return nil
        }
        let key = Key(
            target: name,
            isPage: isPage,
            showsAllRows: isPage && request.parameter("rows") == "all",
            isCompressed: Gzip.isAccepted(by: request.header("Accept-Encoding"))
        )
        return answers.withLock { answers in
            let now = ContinuousClock.now
            if let answer = answers[key], now < answer.validUntil { return answer.response }
            let response = encoded(key, target)
            answers = answers.filter { now < $0.value.validUntil }
            if answers.count < Self.maximumAnswers {
                answers[key] = Answer(response: response, validUntil: now + Self.validity)
            }
            return response
        }
    }

    private func encoded(_ key: Key, _ target: RunningTarget) -> HTTPResponse {
        // Milliseconds are enough for anybody.
        let now = Double(UnixTime.milliseconds) / 1000
        let status = target.status(named: key.target, at: now)
        // One application has nothing to say of the others.
        let others = key.target == nil ? exporter.targets.sorted { $0.key < $1.key } : []
        let summaries = others.map { name, target in TargetSummary(target.status(named: name, at: now)) }
        let body =
            key.isPage
            ? StatusPage(
                status,
                targets: summaries,
                metricsPath: key.target.map { "/probe?target=\($0)" } ?? telemetryPath,
                version: Version.current,
                showsAllRows: key.showsAllRows
            ).html
            : status.json(targets: summaries, version: Version.current)
        return HTTPResponse(
            contentType: key.isPage ? "text/html; charset=utf-8" : "application/json",
            body: key.isCompressed ? Gzip.compress(body) : body,
            headers: Self.headers
                + (key.isPage ? [("Content-Security-Policy", StatusPage.contentSecurityPolicy)] : [])
                + (key.isCompressed ? [("Content-Encoding", "gzip")] : [])
        )
    }

    private static let headers: [(name: String, value: String)] = [
        ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"), ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
    ]

    private let noTargetPage = HTTPResponse(
        status: 400,
        text: "There is no such target in the configuration file. All there are: /"
    )
    private let noTargetJSON = HTTPResponse(
        status: 400,
        contentType: "application/json",
        body: Array("{\"error\":\"there is no such target in the configuration file\"}\n".utf8)
    )
}
