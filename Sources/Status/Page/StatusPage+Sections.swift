internal import Celery
internal import Collection

/// A part of the page with a heading.
struct PageSection {
    /// What links point at.
    var id: Markup
    var heading: String
    var content: Markup

    var markup: Markup {
        """
        <section aria-labelledby="\(id)">
        <h2 id="\(id)">\(heading)</h2>
        \(content)
        </section>
        """
    }

    /// The heading up to its figures.
    var link: Markup { "<a href=\"#\(id)\">\(String(heading.prefix { $0 != ":" }))</a>" }
}

extension StatusPage {
    /// Those that have something to say, the most urgent first.
    var sections: [PageSection] {
        let beats: [PageSection?] = status.beats.flatMap { [beatSection($0), entrySection($0)] as [PageSection?] }
        let all: [PageSection?] =
            [targetSection, hasApplication ? problemSection : nil] + beats
            + [queueSection, taskSection, pipelineSection, workerSection, sourceSection]
        return all.compactMap(\.self)
    }

    private var targetSection: PageSection? {
        guard !targets.isEmpty else { return nil }
        return table(
            "applications",
            "Applications",
            ["Application", "Beat", "Late by", "Messages", "Problems", "Cannot be read"],
            targets.sorted { ($0.rank, $0.name) < ($1.rank, $1.name) }.map { target in
                [
                    "<a href=\"/?target=\(target.name)\"><bdi>\(target.name)</bdi></a>",
                    "<span class=\"\(target.verdict.style)\">\(target.verdict.sign) \(target.verdict.words)</span>",
                    target.worstLateness.map { $0 > 0 ? "\(TimeText.duration($0))" : "–" } ?? "?",
                    target.messages.map { "\(number($0))" } ?? "?",
                    target.problems,
                    target.failingSources.isEmpty ? "–" : "\(target.failingSources.joined(separator: ", "))",
                ]
            }
        )
    }

    private var problemSection: PageSection {
        let problems = status.problems
        let list: Markup =
            problems.isEmpty
            ? "<p class=\"good\"><span aria-hidden=\"true\">●</span> Nothing that can be seen from here.</p>"
            : "<ul class=\"problems\">\n\(Markup(problems.map(item), separator: "\n"))\n</ul>"
        return PageSection(id: "problems", heading: "What is wrong", content: list)
    }

    private func item(_ problem: Problem) -> Markup {
        let (style, symbol, word): (Markup, Markup, Markup) =
            switch problem.severity {
            case .critical: ("bad", "✕", "Critical")
            case .warning: ("warning", "▲", "Warning")
            }
        let alert: [Markup] = problem.alert.map { ["Alert when it lasts: <code>\($0)</code>"] } ?? []
        let lines = (problem.details.map(line) + alert).map { "<p>\($0)</p>" as Markup }
        return """
            <li><b class="\(style)"><span aria-hidden="true">\(symbol)</span> \(word)</b> <bdi>\(problem.subject): \(problem.text)</bdi>
            \(Markup(lines, separator: "\n"))</li>
            """
    }

    /// A command or a setting as what can be copied, and all else as text.
    private func line(_ detail: String) -> Markup {
        for prefix in [Problem.command, Problem.setting] where detail.hasPrefix(prefix) {
            return "\(prefix)<code>\(String(detail.dropFirst(prefix.count)))</code>"
        }
        return "<bdi>\(detail)</bdi>"
    }

    // MARK: Beat

    private func beatSection(_ beat: ApplicationStatus.Beat) -> PageSection {
        let now = beat.now
        func facts(_ name: Markup, _ value: Markup?) -> Markup? {
            value.map { "<div><dt>\(name)</dt><dd>\($0)</dd></div>" }
        }
        func moment(_ time: Double?) -> Markup? { time.map { self.moment($0, now) } }
        let state: Markup =
            switch beat.life {
            case .alive: "<span class=\"good\"><span aria-hidden=\"true\">●</span> alive</span>"
            case .uncertain: "<span class=\"warning\"><span aria-hidden=\"true\">◐</span> seems alive</span>"
            case .dead: "<span class=\"bad\"><span aria-hidden=\"true\">✕</span> dead</span>"
            case .notFound: "<span class=\"bad\"><span aria-hidden=\"true\">✕</span> not found</span>"
            case .unknown: "<span class=\"warning\"><span aria-hidden=\"true\">?</span> not known</span>"
            }
        let all = [
            facts("Scheduler", "\(beat.scheduler.rawValue)"),
            facts("State", state),
            facts("Last sign of life", moment(beat.heartbeat)),
            facts("Next sign of life due", due(beat.deadline, of: beat)),
            facts("Lock", beat.lock.map { lock(of: beat, $0) }),
            facts("Started", moment(beat.startTime)),
            facts("Beats at work", beat.instances.map { "\($0)" }),
            facts("Last task sent", moment(beat.lastTask)),
            facts("Next task due", due(beat.nextDue, of: beat)),
            facts("Sleeps at most", beat.maxLoopInterval.map { "\(TimeText.duration($0))" }),
            facts("Looked at", moment(beat.observed)),
        ]
        return PageSection(
            id: "beat-\(beat.scheduler.rawValue)",
            heading: "Beat\(ofScheduler(beat))",
            content: "<dl>\n\(Markup(all.compactMap(\.self), separator: "\n"))\n</dl>"
        )
    }

    /// When something is due. What has come due since beat was looked at may have happened: that is not told as missed.
    private func due(_ time: Double?, of beat: ApplicationStatus.Beat) -> Markup? {
        time.map { time in
            guard beat.isUp == true, time <= beat.now, time >= beat.observed ?? -.infinity else {
                return moment(time, beat.now)
            }
            let utc: Markup = TimeText.utc(time, at: beat.now).map { " <small>(\($0))</small>" } ?? ""
            return "since the last look\(utc)"
        }
    }

    private func lock(of beat: ApplicationStatus.Beat, _ lock: ApplicationStatus.Lock) -> Markup {
        guard lock.isHeld else { return "nobody holds it" }
        guard let seconds = lock.timeToLive, let observed = beat.observed else { return "held, without an end" }
        let end: Markup = "held, ends \(moment(observed + seconds, beat.now))"
        return beat.isUp == true ? end + " unless beat extends it" : end
    }

    private func entrySection(_ beat: ApplicationStatus.Beat) -> PageSection? {
        guard let count = beat.entryCount else { return nil }
        let others = [
            beat.disabledCount.flatMap { $0 > 0 ? "\(number($0)) off" : nil },
            beat.invalidCount.flatMap { $0 > 0 ? "\(number($0)) that cannot be decoded" : nil },
        ].compactMap(\.self)
        let heading = "Schedule\(ofScheduler(beat)): \(number(count)) \(count == 1 ? "entry" : "entries")"
        return table(
            "schedule-\(beat.scheduler.rawValue)",
            others.isEmpty ? heading : "\(heading), \(others.joined(separator: ", "))",
            ["Entry", "State", "Last run", "Next run", "Late by"],
            beat.entries.map { entry in
                let task: Markup = entry.task == entry.name ? "" : "<br><small><bdi>\(entry.task)</bdi></small>"
                return [
                    "<bdi>\(entry.name)</bdi>\(task)",
                    entry.state.words,
                    entry.lastRun.map { moment($0, beat.now) } ?? "never",
                    entry.state == .off ? "–" : due(entry.nextDue, of: beat) ?? "–",
                    entry.overdue.flatMap { $0 > 0 ? "\(TimeText.duration($0))" : nil } ?? "–",
                ]
            },
            total: max(max(0, count) - max(0, beat.invalidCount ?? 0), beat.entries.count)
        )
    }

    // MARK: What beat's tasks become

    private var queueSection: PageSection? {
        guard let queues = status.queues else { return nil }
        let rows: [[Markup]] = queues.map { ["<bdi>\($0.name)</bdi>", "\(number($0.messages))"] }
        let unacked = status.unacked.map { unacked -> Markup in
            let oldest = unacked.oldest.map { "; the oldest was delivered \(moment($0, status.time))" as Markup } ?? ""
            return "<p>Held by workers, not acknowledged: \(number(unacked.messages))\(oldest).</p>"
        }
        return table("queues", "Queues", ["Queue", "Messages waiting"], rows, after: unacked ?? "")
    }

    private var taskSection: PageSection? {
        guard let tasks = status.tasks, !tasks.isEmpty else { return nil }
        let windows = Self.windows(tasks.map(\.successRatios))
        return table(
            "tasks",
            "Tasks",
            ["Task"] + windows.map { "Succeeded, \($0)" } + ["In progress"],
            tasks.map { task in
                ["<bdi>\(task.name)</bdi>"] + cells(task.successRatios, windows) + ["\(number(task.inProgress))"]
            }
        )
    }

    private var pipelineSection: PageSection? {
        guard let pipelines = status.pipelines, !pipelines.isEmpty else { return nil }
        let windows = Self.windows(pipelines.map(\.completionRatios))
        return table(
            "pipelines",
            "Pipelines",
            ["First task"] + windows.map { "Succeeded, \($0)" } + ["In progress"],
            pipelines.map { pipeline in
                ["<bdi>\(pipeline.rootTask)</bdi>"] + cells(pipeline.completionRatios, windows)
                    + ["\(number(pipeline.inProgress))"]
            }
        )
    }

    /// The windows that any has, in their order.
    private static func windows(_ ratios: [[ApplicationStatus.Ratio]]) -> [String] {
        var windows: [String] = []
        for window in ratios.joined().map(\.window) where !windows.contains(window) { windows.append(window) }
        return windows
    }

    private func cells(_ ratios: [ApplicationStatus.Ratio], _ windows: [String]) -> [Markup] {
        windows.map { window in
            guard let ratio = ratios.first(where: { $0.window == window }) else { return "–" }
            guard ratio.value < ApplicationStatus.Ratio.low else { return "\(ratio.percentage)" }
            return "<span class=\"warning\"><span aria-hidden=\"true\">▲</span> \(ratio.percentage)</span>"
        }
    }

    private var workerSection: PageSection? {
        guard let workers = status.workers, !workers.isEmpty else { return nil }
        return table(
            "workers",
            "Workers",
            ["Worker", "State", "Last heard of", "Active tasks"],
            workers.map { worker in
                [
                    "<bdi>\(worker.name)</bdi>", worker.state.words,
                    worker.heartbeat.map { moment($0, status.time) } ?? "–",
                    worker.activeTasks.map { "\(number($0))" } ?? "–",
                ]
            }
        )
    }

    private var sourceSection: PageSection? {
        let collectors = status.collectors.filter { $0.source != nil }
        guard !collectors.isEmpty else { return nil }
        return table(
            "sources",
            "Sources",
            ["Read by", "State", "Last read", "Trouble"],
            collectors.map { collector in
                let state: Markup =
                    !collector.hasEnded
                    ? "<span aria-hidden=\"true\">…</span> not read yet"
                    : collector.isSuccess
                        ? "<span class=\"good\"><span aria-hidden=\"true\">●</span> is read</span>"
                        : "<span class=\"bad\"><span aria-hidden=\"true\">✕</span> cannot be read</span>"
                let since: Markup =
                    collector.failingSince.map { "For \(TimeText.duration(status.time - $0)): " } ?? ""
                return [
                    "\(collector.name) <small>(\(collector.source ?? ""))</small>", state,
                    collector.lastSuccess.map { moment($0, status.time) } ?? "never",
                    collector.errorText.map { "\(since)<bdi>\($0)</bdi>" } ?? "–",
                ]
            }
        )
    }

    // MARK: Parts

    /// Tells the parts of several schedulers apart.
    private func ofScheduler(_ beat: ApplicationStatus.Beat) -> String {
        status.beats.count > 1 ? " of \(beat.scheduler.rawValue)" : ""
    }

    /// A section with a table, whose rows a phone shows as cards. The first column says what a row is about.
    ///
    /// - Parameter total: rows there would be, where more is known of than is there.
    private func table(
        _ id: Markup,
        _ heading: String,
        _ columns: [String],
        _ rows: [[Markup]],
        total: Int? = nil,
        after: Markup = ""
    ) -> PageSection {
        let shown = showsAllRows ? rows[...] : rows.prefix(Self.maximumRows)
        let head = Markup(columns.map { "<th scope=\"col\">\($0)</th>" })
        let body = Markup(
            shown.map { row in
                let cells = zip(columns, row).dropFirst().map { "<td data-label=\"\($0)\">\($1)</td>" as Markup }
                return "<tr><th scope=\"row\">\(row.first ?? "")</th>\(Markup(cells))</tr>"
            },
            separator: "\n"
        )
        let table: Markup =
            rows.isEmpty
            ? "<p>None.</p>"
            : "<table>\n<thead><tr>\(head)</tr></thead>\n<tbody>\n\(body)\n</tbody>\n</table>"
        let notes = folded(shown.count, of: rows.count, total ?? rows.count) + after
        return PageSection(id: id, heading: heading, content: table + notes)
    }

    /// What is not shown, and where it is.
    private func folded(_ shown: Int, of count: Int, _ total: Int) -> Markup {
        var text: Markup = ""
        if shown < count {
            let target = status.target.map { "target=\($0)&" } ?? ""
            text =
                text + """
                    <p>\(number(shown)) of \(number(count)) are shown. <a href="/?\(target)rows=all">Show all</a></p>
                    """
        }
        if count < total {
            text = text + "<p>\(number(total - count)) more are left out by <code>--beat.max-entry-series</code>.</p>"
        }
        return text
    }

    /// With its thousands set apart.
    private func number(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        let grouped = digits.enumerated().map { index, digit in
            index > 0 && (digits.count - index) % 3 == 0 ? ",\(digit)" : "\(digit)"
        }.joined()
        return (number < 0 ? "−" : "") + grouped
    }
}

extension ApplicationStatus.Entry.State {
    fileprivate var words: Markup {
        switch self {
        case .off: "<span class=\"muted\"><span aria-hidden=\"true\">○</span> off</span>"
        case .late: "<span class=\"warning\"><span aria-hidden=\"true\">▲</span> late</span>"
        case .due: "<span aria-hidden=\"true\">●</span> due"
        case .unknown: "<span class=\"muted\"><span aria-hidden=\"true\">?</span> not stored yet</span>"
        case .onTime: "<span class=\"good\"><span aria-hidden=\"true\">●</span> on time</span>"
        }
    }
}

extension ApplicationStatus.Worker.State {
    fileprivate var words: Markup {
        switch self {
        case .online: "<span class=\"good\"><span aria-hidden=\"true\">●</span> online</span>"
        case .silent: "<span class=\"warning\"><span aria-hidden=\"true\">▲</span> silent</span>"
        case .offline: "<span class=\"muted\"><span aria-hidden=\"true\">○</span> offline</span>"
        }
    }
}

extension TargetSummary {
    /// What needs somebody comes first.
    fileprivate var rank: Int {
        verdict == .dead || verdict == .notFound
            ? 0 : criticalCount > 0 ? 1 : verdict == .unknown ? 2 : warningCount > 0 ? 3 : 4
    }

    fileprivate var problems: Markup {
        if criticalCount + warningCount == 0 { return "–" }
        let style: Markup = criticalCount > 0 ? "bad" : "warning"
        let symbol: Markup = criticalCount > 0 ? "✕" : "▲"
        return
            "<span class=\"\(style)\"><span aria-hidden=\"true\">\(symbol)</span> \(criticalCount + warningCount)</span>"
    }
}
