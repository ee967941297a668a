internal import Configuration
internal import HTTP
internal import Synchronization
internal import Watching

/// The metrics of every application that is watched.
final class MetricsRoutes: Sendable {
    private struct Page {
        /// What it shows: a reload may put another in its place.
        let target: RunningTarget
        let page: MetricsPage
    }

    private struct Pages {
        /// By name; nil for the application that flags describe.
        var byName: [String?: Page] = [:]
        /// The exporter's, when these were made.
        var changes = 0
    }

    private let exporter: Exporter
    private let pages = Mutex(Pages())

    init(exporter: Exporter) {
        self.exporter = exporter
    }

    func metrics(for request: HTTPRequest) -> HTTPResponse {
        page(of: exporter.target, named: nil).response(to: request)
    }

    /// Of the application that the parameter `target` names.
    func probe(for request: HTTPRequest) -> HTTPResponse {
        guard let name = request.parameter("target"), let target = exporter.target(named: name) else { return noTarget }
        return page(of: target, named: name).response(to: request)
    }

    private func page(of target: RunningTarget, named name: String?) -> MetricsPage {
        pages.withLock { pages in
            let changes = exporter.changes
            if pages.changes != changes {
                // Pages of applications that are not watched any more are let go; the others count on.
                let targets = exporter.targets
                pages.byName = pages.byName.filter { name, page in name.map { targets[$0] === page.target } ?? true }
                pages.changes = changes
            }
            if let known = pages.byName[name], known.target === target { return known.page }
            let page = MetricsPage(target.snapshot, target.target.metrics)
            pages.byName[name] = Page(target: target, page: page)
            return page
        }
    }

    private let noTarget = HTTPResponse(
        status: 400,
        text: "Ask for /probe?target=NAME, with a name from the targets of the configuration file."
    )
}
