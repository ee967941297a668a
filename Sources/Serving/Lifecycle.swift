internal import Configuration
internal import HTTP
internal import Synchronization
internal import Watching

/// What clients may have the program do, where that is switched on.
final class Lifecycle: Sendable {
    /// Between two reloads: each reads files, asks every source anew that has changed, and has a line in the log.
    private static let interval = Duration.seconds(1)

    private let exporter: Exporter
    private let isEnabled: Bool
    private let state = Mutex((next: ContinuousClock.now, isRunning: false))

    private let reloaded = HTTPResponse(status: 200, text: "Reloaded.")
    private let tooSoon = HTTPResponse(
        status: 429,
        text: "Not reloaded: the last reload is less than a second ago, or has not ended. Try again.",
        headers: [("Retry-After", "1")]
    )
    private let fromAPage = HTTPResponse(
        status: 403,
        text: "Not reloaded: a page in a browser asks for it, and no page may. Use curl -X POST, or SIGHUP."
    )
    private let notEnabled = HTTPResponse(
        status: 403,
        text: "Lifecycle API is not enabled. Start with --web.enable-lifecycle, or reload by SIGHUP: kill -HUP PID"
    )
    /// Of these browsers send at least one with what a page asks for, a form too, and programs send none.
    private static let headersOfPages = ["Origin", "Sec-Fetch-Site", "Referer"]

    init(exporter: Exporter, isEnabled: Bool) {
        self.exporter = exporter
        self.isEnabled = isEnabled
    }

    /// Reloads, unless a page in a browser asks: whoever shows it to a colleague would have that colleague's browser ask.
    func reload(_ request: HTTPRequest) -> HTTPAnswer {
        guard isEnabled else { return .now(notEnabled) }
        guard Self.headersOfPages.allSatisfy({ request.header($0) == nil }) else { return .now(fromAPage) }
        let isInTime = state.withLock { state in
            let now = ContinuousClock.now
            guard now >= state.next, !state.isRunning else { return false }
            state = (now + Self.interval, true)
            return true
        }
        guard isInTime else { return .now(tooSoon) }
        // It reads files.
        return .later { [self] in
            defer { state.withLock { $0.isRunning = false } }
            do throws(ConfigurationError) {
                try exporter.reload()
                return reloaded
            } catch {
                return HTTPResponse(status: 500, text: "Not reloaded: \(error)")
            }
        }
    }
}
