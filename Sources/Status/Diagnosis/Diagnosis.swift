internal import Celery
internal import Collection
internal import Reading

extension ApplicationStatus {
    /// All that is wrong, the worst first and, of what is equally bad, what the rest follows from. Their number is bounded: what
    /// can be many is told in one.
    package var problems: [Problem] {
        let all =
            sourceProblems + searchProblems
            + beats.flatMap { beat in
                BeatDiagnosis(
                    beat,
                    settings: settings,
                    search: search,
                    collector: collectors.first { $0.name == beat.scheduler.rawValue }
                ).problems
            }
            + readerProblems + taskProblems + queueProblems + workerProblems + configurationProblems
        return all.enumerated().sorted { left, right in
            (left.element.rank, left.element.cause.rawValue, left.offset)
                < (right.element.rank, right.element.cause.rawValue, right.offset)
        }.map(\.element)
    }

    // MARK: Sources

    /// One for each server and error: what several collectors meet with is told once, of their source where none was spared.
    private var sourceProblems: [Problem] {
        func server(_ collector: CollectorHealth) -> String? {
            settings.isInBroker && collector.source == "redbeat" ? "broker" : collector.source
        }
        var groups: [[CollectorHealth]] = []
        for collector in collectors where collector.error != nil && collector.source != nil {
            let group = groups.firstIndex {
                server($0[0]) == server(collector) && $0[0].error?.description == collector.error?.description
            }
            if let group { groups[group].append(collector) } else { groups.append([collector]) }
        }
        return groups.compactMap { hit in
            guard let error = hit[0].error else { return nil }
            // The broker first, where one Redis is both.
            let sources = Set(hit.compactMap(\.source)).sorted()
            let isWhole = sources.allSatisfy { source in
                collectors.allSatisfy { collector in collector.source != source || hit.contains(collector) }
            }
            let (text, details) = Problem.parts(of: Self.cause(of: error).bounded(CollectorHealth.maximumErrorLength))
            let lacksBeat = hit.contains { collector in beats.contains { $0.scheduler.rawValue == collector.name } }
            let isDatabase = sources == ["database"]
            return Problem(
                isDatabase && !lacksBeat ? .warning : .critical,
                isWhole ? Self.title(ofSource: sources.first ?? "") : hit.map(\.name).joined(separator: ", "),
                text,
                details,
                cause: error.reason == .permission ? .access : .server,
                alert: !isDatabase ? "CeleryRedisDown" : lacksBeat ? "CeleryBeatDatabaseDown" : "CeleryDatabaseDown"
            )
        }
    }

    /// A source, told from the scheduler that it may have its name from.
    package static func title(ofSource source: String) -> String { source == "redbeat" ? "redbeat redis" : source }

    /// What the server says, without where and how it was asked.
    private static func cause(of error: SourceError) -> String {
        guard error.reason == .permission, error.description.hasPrefix("query "),
            let start = error.description.firstRange(of: ": ")
        else {
            return error.description
        }
        let cause = error.description[start.upperBound...]
        let state = "SQLSTATE 42501: "
        return String(cause.hasPrefix(state) ? cause.dropFirst(state.count) : cause)
    }

    /// What spoils single values, and what readers advise.
    private var readerProblems: [Problem] {
        collectors.flatMap { collector in
            let rest = collector.untoldNotes
            return collector.notes.map { note in
                let (text, details) = Problem.parts(of: note.bounded(CollectorHealth.maximumErrorLength))
                return Problem(.warning, collector.name, text, details)
            } + (rest > 0 ? [Problem(.warning, collector.name, "and \(rest) more problems like these")] : [])
        }
    }

    /// Nothing fires for a beat that nobody knows of.
    private var searchProblems: [Problem] {
        guard let search, beats.isEmpty else { return [] }
        let settings = [
            "name a scheduler that must be there: --beat.scheduler",
            "for another scheduler give a schedule to expect, or --beat.ping",
        ]
        return [
            Problem(
                .warning,
                "beat",
                "no beat was found, and none is expected: no alert about beat can fire",
                search.lines + settings,
                cause: .beat
            )
        ]
    }

    // MARK: What beat is there for

    private var taskProblems: [Problem] {
        let low = (tasks ?? []).compactMap { task in task.successRatios.first.map { (task, $0) } }
            .filter { $1.value < Ratio.low }.sorted { $0.1.value < $1.1.value }
        guard let window = low.first?.1.window else { return [] }
        return [
            Problem(
                .warning,
                "tasks",
                "fewer than 90 % of what ended within \(window) succeeded: "
                    + Self.list(low.map { "\($0.0.name) (\($0.1.percentage))" }),
                ["celery_task_errors_total tells the exceptions, the workers' logs where they come from"],
                alert: window == "5m" ? "CeleryTaskSuccessRatioLow" : nil
            )
        ]
    }

    private var queueProblems: [Problem] {
        [noQueues, heldForTooLong].compactMap(\.self)
    }

    private var noQueues: Problem? {
        guard queues?.isEmpty == true else { return nil }
        let isSearching = collectors.contains { $0.name == "queues" && $0.isPreliminary }
        return Problem(
            .warning,
            "queues",
            "no queues were found",
            (isSearching ? ["the search through all keys for more has not ended"] : []) + [
                "name them with --queues, or correct the database in --broker.url", "or give --broker.key-prefix",
            ]
        )
    }

    private var heldForTooLong: Problem? {
        guard let unacked, let oldest = unacked.oldest, let timeout = unacked.visibilityTimeout,
            time - oldest > timeout + 300
        else { return nil }
        return Problem(
            .warning,
            "queues",
            "a message was delivered \(TimeText.duration(time - oldest)) ago and never acknowledged, "
                + "and nobody delivers it again",
            ["see whether workers run: they give such messages back after the visibility timeout"],
            alert: "CeleryUnackedTooOld"
        )
    }

    private var workerProblems: [Problem] {
        let silent = (workers ?? []).filter { $0.state == .silent }
        guard !silent.isEmpty else { return [] }
        return [
            Problem(
                .warning,
                "workers",
                "workers that said they are online have been silent for more than 5 minutes: "
                    + Self.list(silent.map(\.name)),
                ["see whether they run: a killed worker stays online in its table"]
            )
        ]
    }

    private var configurationProblems: [Problem] {
        guard isConfigurationLoaded == false else { return [] }
        return [
            Problem(
                .warning,
                "settings",
                "the configuration is wrong as it stands now; the exporter goes on with the one before",
                ["the exporter's log names the line: fix it, then reload by SIGHUP"]
            )
        ]
    }

    static let maximumListed = 5

    /// The first few of many, and how many more there are.
    static func list(_ names: [String], of count: Int? = nil) -> String {
        let rest = (count ?? names.count) - maximumListed
        return names.prefix(maximumListed).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}

extension Problem {
    fileprivate var rank: Int { severity == .critical ? 0 : 1 }
}

extension BeatSearch {
    /// What was found instead and what to set for it, and where it was looked for.
    var lines: [String] {
        let found = places.prefix(Self.maximumLines).flatMap {
            ["there is \($0.text); if it is yours", "\(Problem.setting)\($0.setting)"]
        }
        return found + lookedFor.map { "looked for \($0)" }
            + (places.isEmpty && gaps.isEmpty ? ["and found none elsewhere"] : [])
            + gaps.prefix(Self.maximumLines).map { "could not be looked through: \($0)" }
    }
}

extension ApplicationStatus.Ratio {
    /// What is lower is told as a problem.
    static let low = 0.9

    /// As `99.5 %`. What is not all is never rounded up to 100 %.
    var percentage: String {
        guard value.isFinite else { return "?" }
        let tenths = Int((min(max(value, 0), 1) * 1000).rounded(.down))
        return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
    }
}
