internal import HTTP
internal import Synchronization

/// What clients may have the program do, where that is switched on.
final class Lifecycle: Sendable {
    /// Between two reloads: each reads files, asks every source anew that has changed, and has a line in the log.
    private static let interval = Duration.seconds(1)

    private let exporter: Exporter
    private let next = Mutex(ContinuousClock.now)

    private let reloaded = HTTPResponse(status: 200, text: "Reloaded.")
    private let tooSoon = HTTPResponse(
        status: 429,
        text: "Not reloaded: the last reload is less than a second ago. Try again.",
        headers: [("Retry-After", "1")]
    )
    private let fromAPage = HTTPResponse(
        status: 403,
        text: "Not reloaded: a page in a browser asks for it, and no page may. Use curl -X POST, or SIGHUP."
    )
    /// Of these browsers send at least one with what a page asks for, a form too, and programs send none.
    private static let headersOfPages = ["Origin", "Sec-Fetch-Site", "Referer"]

    init(exporter: Exporter) {
        self.exporter = exporter
    }

    /// Reloads, unless a page in a browser asks: whoever shows it to a colleague would have that colleague's browser ask.
    func reload(_ request: HTTPRequest) -> HTTPResponse {
        guard Self.headersOfPages.allSatisfy({ request.header($0) == nil }) else { return fromAPage }
        let isInTime = next.withLock { next in
            let now = ContinuousClock.now
            guard now >= next else { return false }
            next = now + Self.interval
            return true
        }
        guard isInTime else { return tooSoon }
        do {
            try exporter.reload()
            return reloaded
        } catch {
            return HTTPResponse(status: 500, text: "Not reloaded: \(error)")
        }
    }
}
