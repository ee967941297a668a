internal import Collection

/// Something that is wrong at this moment, in words for whoever is on call.
package struct Problem: Equatable, Sendable {
    package enum Severity: String, Sendable {
        /// Periodic tasks are not sent, or are sent twice, or nobody watches.
        case critical
        case warning
    }

    package var severity: Severity
    package var text: String
    /// What to do.
    package var advice: String
    /// The alert that fires when it lasts, whose runbook tells more; nil where there is none.
    package var alert: String?
}

extension ApplicationStatus {
    /// All that is wrong, the worst first, and what others depend on before them. Their number is bounded: what can be many is told in one.
    package var problems: [Problem] {
        let all =
            sourceProblems + searchProblems + beats.flatMap { $0.problems(watchedBy: collector($0.scheduler), search) }
            + taskProblems
            + queueProblems + workerProblems + configurationProblems
        return all.filter { $0.severity == .critical } + all.filter { $0.severity != .critical }
    }

    private func collector(_ name: String) -> CollectorHealth? { collectors.first { $0.name == name } }

    /// One for each source with collectors that fail.
    private var sourceProblems: [Problem] {
        var sources: [String] = []
        for collector in collectors where collector.error != nil {
            if let source = collector.source, !sources.contains(source) { sources.append(source) }
        }
        return sources.map { source in
            let failing = collectors.filter { $0.source == source && $0.error != nil }
            var errors: [String] = []
            for error in failing.compactMap(\.errorText) where !errors.contains(error) { errors.append(error) }
            let lacksBeat = failing.contains { collector in beats.contains { $0.scheduler == collector.name } }
            let isDatabase = source == "database"
            return Problem(
                severity: isDatabase && !lacksBeat ? .warning : .critical,
                text: "The source \(source) cannot be read (\(failing.map(\.name).joined(separator: ", "))): "
                    + errors.joined(separator: "; ") + ".",
                advice: "Until it can, what it tells is missing here and in the metrics.",
                alert: !isDatabase ? "CeleryRedisDown" : lacksBeat ? "CeleryBeatDatabaseDown" : "CeleryDatabaseDown"
            )
        }
    }

    /// Nothing fires for a beat that nobody knows of.
    private var searchProblems: [Problem] {
        guard let search, beats.isEmpty else { return [] }
        return [
            Problem(
                severity: .warning,
                text: "No beat was found, and none is expected, so no alert about beat can fire.",
                advice: search.advice,
                alert: nil
            )
        ]
    }

    private var taskProblems: [Problem] {
        let low = (tasks ?? []).compactMap { task in task.successRatios.first.map { (task, $0) } }
            .filter { $1.value < Ratio.low }.sorted { $0.1.value < $1.1.value }
        guard let window = low.first?.1.window else { return [] }
        return [
            Problem(
                severity: .warning,
                text: "Fewer than 90 % of what ended within \(window) succeeded: "
                    + Self.list(low.map { "\($0.0.name) (\($0.1.percentage))" }) + ".",
                advice: "celery_task_errors_total tells the exceptions, the workers' logs where they come from.",
                alert: window == "5m" ? "CeleryTaskSuccessRatioLow" : nil
            )
        ]
    }

    private var queueProblems: [Problem] {
        guard let unacked, let oldest = unacked.oldest, let timeout = unacked.visibilityTimeout,
            time - oldest > timeout + 300
        else { return [] }
        return [
            Problem(
                severity: .warning,
                text: "A message was delivered \(TimeText.duration(time - oldest)) ago and never acknowledged, "
                    + "and nobody delivers it again.",
                advice: "See whether workers run: they give such messages back after the visibility timeout.",
                alert: "CeleryUnackedTooOld"
            )
        ]
    }

    private var workerProblems: [Problem] {
        let silent = (workers ?? []).filter { $0.state == .silent }
        guard !silent.isEmpty else { return [] }
        return [
            Problem(
                severity: .warning,
                text: "Workers that said they are online have been silent for more than 5 minutes: "
                    + Self.list(silent.map(\.name)) + ".",
                advice: "See whether they run: a killed worker goes on as online in its table.",
                alert: nil
            )
        ]
    }

    private var configurationProblems: [Problem] {
        guard isConfigurationLoaded == false else { return [] }
        return [
            Problem(
                severity: .warning,
                text: "The configuration is wrong as it stands now; the exporter goes on with the one before.",
                advice: "The exporter's log names the line. Fix it, then reload by SIGHUP.",
                alert: nil
            )
        ]
    }

    fileprivate static let maximumListed = 5

    /// The first few of many, and how many more there are.
    fileprivate static func list(_ names: [String], of count: Int? = nil) -> String {
        let rest = (count ?? names.count) - maximumListed
        return names.prefix(maximumListed).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}

extension ApplicationStatus.Beat {
    fileprivate func problems(watchedBy collector: CollectorHealth?, _ search: BeatSearch?) -> [Problem] {
        // A clock that is off makes entries late.
        [
            lifeProblem(collector, search), instancesProblem, scheduleProblem, clockProblem, entriesProblem,
            invalidProblem,
        ]
        .compactMap(\.self)
    }

    private func lifeProblem(_ collector: CollectorHealth?, _ search: BeatSearch?) -> Problem? {
        switch life {
        case .alive: return nil
        case .uncertain:
            return Problem(
                severity: .warning,
                text: "The beat of \(scheduler) seems to be alive, but what was seen does not prove it.",
                advice: "Wait until it has shown life, or its deadline is over.",
                alert: nil
            )
        case .unknown:
            // Where its source fails, that is the problem.
            guard collector?.isSuccess == true else { return nil }
            return Problem(
                severity: .warning,
                text: "The beat of \(scheduler) has not been watched for long enough to tell whether it is alive.",
                advice: "Wait until it has shown life, or its deadline is over.",
                alert: nil
            )
        case .notFound:
            return Problem(
                severity: .critical,
                text: "Nothing of \(scheduler) was found where it is looked for.",
                advice: search?.advice ?? "It is dead, or it is somewhere else.",
                alert: lock == nil ? "CeleryBeatOverdueWithoutLock" : "CeleryBeatLockMissing"
            )
        case .dead: return death
        }
    }

    private var death: Problem {
        switch lock?.isHeld {
        case true:
            let end = lock?.timeToLive.map { "for another \(TimeText.duration($0 - (now - (observed ?? now))))" }
            return Problem(
                severity: .critical,
                text: "The beat of \(scheduler) is dead, hangs or is cut off. Its lock keeps others out "
                    + "\(end ?? "until somebody deletes it").",
                advice: "End what is left of it, delete the lock once no beat lives, and start beat.",
                alert: "CeleryBeatOverdue"
            )
        case false:
            return Problem(
                severity: .critical,
                text: "No beat of \(scheduler) holds the lock, so none sends periodic tasks.",
                advice: "Start beat. In a deploy this lasts a moment.",
                alert: "CeleryBeatLockMissing"
            )
        case nil:
            let text =
                switch scheduler {
                case "evidence":
                    "None of the tasks that beat should send is seen to run: it does not send them, or no worker runs them."
                case "ping": "No beat answers pings: it is dead or hangs, or does not hear the broker."
                default: "The beat of \(scheduler) has missed its deadline: it is dead, hangs or is cut off."
                }
            return Problem(
                severity: .critical,
                text: text,
                advice: scheduler == "evidence"
                    ? "Look at beat first, then at the workers." : "Look at its process and its log, and start it.",
                alert: "CeleryBeatOverdueWithoutLock"
            )
        }
    }

    private var instancesProblem: Problem? {
        guard let instances, instances > 1 else { return nil }
        return Problem(
            severity: .critical,
            text: "\(instances) beats of \(scheduler) are at work, and each sends every periodic task.",
            advice: "End all but one. In a rolling deploy this lasts a moment.",
            alert: "CeleryBeatDuplicated"
        )
    }

    private var scheduleProblem: Problem? {
        guard hasEmptySchedule else { return nil }
        return Problem(
            severity: .critical,
            text: "The schedule of \(scheduler) is empty, so beat has nothing to send.",
            advice: "Somebody deleted it. Restart beat for entries of the configuration; restore others from a backup.",
            alert: "CeleryBeatScheduleEmpty"
        )
    }

    private var entriesProblem: Problem? {
        let late = lateEntries
        guard !late.isEmpty else { return nil }
        let names = late.prefix(ApplicationStatus.maximumListed + 1).map {
            "\(title(of: $0)) (\(TimeText.duration($0.overdue ?? 0)))"
        }
        return Problem(
            severity: .warning,
            text: "Beat lives, but entries of \(scheduler) are late: "
                + "\(ApplicationStatus.list(names, of: late.count)).",
            advice: "Beat's log tells what it makes of them.",
            alert: "CeleryBeatEntryOverdue"
        )
    }

    private var invalidProblem: Problem? {
        guard let invalidCount, invalidCount > 0 else { return nil }
        return Problem(
            severity: .warning,
            text: "Entries of \(scheduler) that cannot be decoded: \(invalidCount).",
            advice: "The exporter's log names them. Save them anew, or delete them.",
            alert: nil
        )
    }

    private var clockProblem: Problem? {
        guard let clockSkew = harmfulClockSkew else { return nil }
        return Problem(
            severity: .warning,
            text: "The clock of the beat of \(scheduler) is \(TimeText.duration(clockSkew.magnitude)) "
                + (clockSkew > 0 ? "ahead of" : "behind") + " its source's.",
            advice: "Synchronize the clocks of both machines.",
            alert: "CeleryClockSkew"
        )
    }
}

extension BeatSearch {
    /// What was found instead, and what to set.
    fileprivate var advice: String {
        let found = places.prefix(Self.maximumLines).map { "There is \($0.text): set \($0.setting) if it is yours." }
        let missing = gaps.prefix(Self.maximumLines).map { "Could not be looked through: \($0)." }
        let nothing =
            found.isEmpty ? ["Nothing of a beat was found elsewhere either: start beat, or see the settings."] : []
        return (["Looked for: \(lookedFor.joined(separator: "; "))."] + found + nothing + missing).joined(
            separator: " "
        )
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
