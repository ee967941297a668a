internal import Celery
internal import Collection

/// The page at `/`: what whoever is on call opens first.
///
/// It is whole without JavaScript. The script only fetches it anew and takes over what differs.
package struct StatusPage {
    let status: ApplicationStatus
    let targets: [TargetSummary]
    let metricsPath: String
    let version: String
    let showsAllRows: Bool

    /// - Parameters:
    ///   - status: the application that is shown; nil where there are only those of the configuration file.
    ///   - targets: the other applications, each of which gets a line.
    ///   - metricsPath: where the metrics of the application are.
    ///   - version: the exporter's.
    ///   - showsAllRows: whether tables are shown in whole.
    package init(
        _ status: ApplicationStatus,
        targets: [TargetSummary],
        metricsPath: String,
        version: String,
        showsAllRows: Bool
    ) {
        self.status = status
        self.targets = targets
        self.metricsPath = metricsPath
        self.version = version
        self.showsAllRows = showsAllRows
    }

    /// What the browser may do with the page: use its own style and script, and ask where it came from. The hashes are those
    /// of page.css and page.js; a test tells the right ones.
    package static let contentSecurityPolicy =
        "default-src 'none'; style-src '\(styleHash)'; script-src '\(scriptHash)'; connect-src 'self'; img-src data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    private static let styleHash = "sha256-OSLAc/IjK47Dt4GoZY2SKzGnclJ5G5eC4NsP4hTftI8="
    private static let scriptHash = "sha256-kM5ixu0o0/QqQNjfwRK1Eq6878QwXW1pQ92BM09QuYo="

    /// Rows of a table unless all are asked for.
    static let maximumRows = 200

    /// The whole page in UTF-8.
    package var html: [UInt8] {
        let sections = sections
        let page: Markup = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <link rel="icon" href="data:,">
            <noscript><meta http-equiv="refresh" content="10"></noscript>
            <style>\(Markup(raw: PackageResources.page_css))</style>
            </head>
            <body>
            <p id="connection" role="alert" hidden></p>
            \(headline)
            <nav aria-label="On this page">\(Markup(sections.map(\.link), separator: " "))</nav>
            <main>
            \(Markup(sections.map(\.markup), separator: "\n"))
            </main>
            \(footer)
            <script>\(Markup(raw: PackageResources.page_js))</script>
            </body>
            </html>

            """
        return Array(page.text.utf8)
    }

    /// Whether there is anything to tell of but the other applications.
    var hasApplication: Bool { !status.collectors.allSatisfy { $0.source == nil } }

    private var title: String {
        guard hasApplication else { return "\(worst.symbol) \(title(of: targets))" }
        return "\(status.verdict.symbol) \(status.verdict.words)\(status.target.map { ": \($0)" } ?? "")"
    }

    /// How many applications there are, and how many of them need somebody.
    private func title(of targets: [TargetSummary]) -> String {
        func count(_ verdict: ApplicationStatus.Verdict, _ words: String) -> String? {
            let count = targets.count { $0.verdict == verdict }
            return count > 0 ? "\(count) \(words)" : nil
        }
        let parts =
            ["\(targets.count) \(targets.count == 1 ? "application" : "applications")"]
            + [
                count(.dead, "with a dead beat"), count(.notFound, "whose beat was not found"),
                count(.unknown, "of which nobody can tell"),
            ].compactMap(\.self)
        return parts.joined(separator: ", ")
    }

    /// What the applications without the one of the flags come to.
    private var worst: ApplicationStatus.Verdict {
        let verdicts = targets.map(\.verdict)
        return [.dead, .notFound, .unknown, .pending, .uncertain, .alive].first { verdicts.contains($0) } ?? .none
    }

    private var headline: Markup {
        guard hasApplication else {
            return """
                <header class="\(worst.style)">
                <h1>\(worst.sign) \(title(of: targets))</h1>
                </header>
                """
        }
        let name: Markup = status.target.map { "<p><a href=\"/\">All applications</a>: <bdi>\($0)</bdi></p>\n" } ?? ""
        return """
            <header class="\(status.verdict.style)">
            \(name)<h1>\(status.verdict.sign) \(status.verdict.words)</h1>
            \(Markup(lead.map { "<p>\($0)</p>" }, separator: "\n"))
            </header>
            """
    }

    /// Since when it is so, and until when.
    private var lead: [Markup] {
        guard status.beats.isEmpty else {
            return status.beats.map { beat in
                let name: Markup = status.beats.count > 1 ? "<b>\(beat.scheduler.rawValue)</b>: " : ""
                return name + lead(of: beat)
            }
        }
        return switch status.verdict {
        case .pending: ["The sources have not answered yet."]
        case .unknown: ["What could tell of it cannot be read."]
        default: ["There is no sign of any. <code>--beat.scheduler</code> names those that must be there."]
        }
    }

    private func lead(of beat: ApplicationStatus.Beat) -> Markup {
        if let collector = status.collectors.first(where: { $0.name == beat.scheduler.rawValue }), beat.observed == nil
        {
            guard let since = collector.failingSince else { return "What tells of it has not answered yet." }
            return "What tells of it became unreadable \(moment(since, status.time))."
        }
        guard let heartbeat = beat.heartbeat else {
            guard beat.life == .notFound else { return "No sign of life was ever seen." }
            return "Nothing of it is where it is looked for. It is dead, or somewhere else: see below."
        }
        var text: Markup = "Last sign of life \(moment(heartbeat, beat.now))"
        if beat.isDueSinceLook, let observed = beat.observed {
            text = text + "; it was alive when it was last looked at, \(moment(observed, beat.now))"
        } else if let deadline = beat.deadline {
            text = text + (deadline > beat.now ? "; the next must come " : "; the next was due ")
            text = text + moment(deadline, beat.now)
        }
        if beat.isUp == false, let lock = beat.lock, lock.isHeld, let seconds = lock.timeToLive,
            let observed = beat.observed
        {
            text = text + ". Its lock ends by itself \(moment(observed + seconds, beat.now))"
        }
        return text + "."
    }

    private var footer: Markup {
        let parameters = status.target.map { "?target=\($0)" } ?? ""
        return """
            <footer>
            <p>As of <time>\(TimeText.utc(status.time) ?? "?")</time> UTC, as all times here. celery-beat-exporter \(version).</p>
            <nav><a href="\(metricsPath)">Metrics</a> <a href="/api/v1/status\(parameters)">JSON</a> \
            <a href="/-/healthy">Healthy</a> <a href="/-/ready">Ready</a></nav>
            </footer>
            """
    }

    /// A time as its distance and in UTC.
    func moment(_ time: Double, _ now: Double) -> Markup {
        guard let utc = TimeText.utc(time, at: now) else { return "at no time" }
        return "\(TimeText.distance(from: time, at: now)) <small>(\(utc))</small>"
    }
}

extension ApplicationStatus.Verdict {
    /// The same in a shape, for those who do not see its colour.
    var symbol: String {
        switch self {
        case .alive: "●"
        case .uncertain: "◐"
        case .dead, .notFound: "✕"
        case .unknown: "?"
        case .none: "○"
        case .pending: "…"
        }
    }

    var sign: Markup { "<span aria-hidden=\"true\">\(symbol)</span>" }

    var words: String {
        switch self {
        case .alive: "Beat is alive"
        case .uncertain: "Beat seems to be alive"
        case .dead: "Beat is dead"
        case .unknown: "Nobody can tell whether beat is alive"
        case .notFound, .none: "No beat was found"
        case .pending: "Not known yet"
        }
    }

    /// The class in page.css.
    var style: Markup {
        switch self {
        case .alive: "good"
        case .dead, .notFound: "bad"
        case .uncertain, .unknown: "warning"
        case .none, .pending: "muted"
        }
    }
}
