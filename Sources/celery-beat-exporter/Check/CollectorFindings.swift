internal import Celery
internal import Collection
internal import Postgres
internal import Reading
internal import Redis

/// What the looks of one collector say.
struct CollectorFindings {
    let findings: [Finding]
    /// Whether it tells of a beat.
    let isOfBeat: Bool
    /// Whether nothing of a beat was found that has to be there.
    let isBeatMissed: Bool

    /// Problems of one kind are told up to this number.
    private static let maximumProblems = 10

    /// - Parameters:
    ///   - name: of the collector.
    ///   - server: what it reads from.
    init(_ name: String, _ result: Result<Collected, SourceError>, target: Target, server: ServerState) {
        let collected: Collected
        switch result {
        case .failure(let error):
            findings = [Finding(.failure, name, line: Self.cause(of: error), cause: .access)]
            // It cannot be read, which says nothing of whether there is one.
            isOfBeat = Scheduler(rawValue: name) != nil
            isBeatMissed = false
            return
        case .success(let success): collected = success
        }
        var findings: [Finding]
        if let scheduler = Scheduler(rawValue: name) {
            let beat = BeatFindings(collected, of: scheduler, target: target, server: server)
            findings = beat?.findings ?? []
            isOfBeat = beat != nil
            isBeatMissed = isOfBeat && collected.isEmptyHanded
        } else {
            let metrics = MetricValues(collected.families)
            let finding: Finding? =
                switch name {
                case "queues": Self.queues(metrics, collected, target)
                case "tasks": Self.tasks(metrics, target)
                case "pipelines": Self.pipelines(metrics)
                case "workers": Self.workers(metrics)
                default: nil
                }
            findings = finding.map { [$0] } ?? []
            if name == "queues", let redis = server.redis, redis.evictsQueues, let policy = redis.evictionPolicy {
                let redisCommand = target.broker?.commandLine(orFor: "BROKER_URL") ?? "redis-cli -u BROKER_URL"
                findings.append(
                    Finding(
                        .warning,
                        name,
                        "Redis may evict queues and the tasks in them when its memory is full (\(policy))",
                        ["\(Finding.command)\(redisCommand) CONFIG SET maxmemory-policy noeviction"]
                    )
                )
            }
            isOfBeat = false
            isBeatMissed = false
        }
        findings += Self.bounded(collected.problems.map(\.description)).map { Finding(.warning, name, line: $0) }
        findings += collected.advice.map { Finding(.warning, name, line: $0) }
        findings += collected.notes.map { Finding(.ok, name, line: $0) }
        self.findings = findings
    }

    /// What the server says without where and how it was asked, which the server's own line tells.
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

    private static func bounded(_ problems: [String]) -> [String] {
        guard problems.count > maximumProblems else { return problems }
        return problems.prefix(maximumProblems) + ["and \(problems.count - maximumProblems) more problems like these"]
    }

    // MARK: Each collector

    /// The longest queues that are named.
    private static let maximumQueues = 10

    private static func queues(_ metrics: MetricValues, _ collected: Collected, _ target: Target) -> Finding {
        let queues = metrics.values("celery_queue_length", by: "queue_name").sorted {
            ($1.value, $0.label) < ($0.value, $1.label)
        }
        let search = collected.isPreliminary ? ["the search through all keys for more has not ended"] : []
        guard !queues.isEmpty else {
            let advice = [
                "name them with --queues, or correct the database in --broker.url", "or give --broker.key-prefix",
            ]
            return Finding(.warning, "queues", "no queues were found", search + advice)
        }
        let named = Set(target.queues.names)
        var parts = queues.prefix(maximumQueues).map { queue in
            "\(queue.label) \(Int(bounding: queue.value)) (\(named.contains(queue.label) ? "named" : "found"))"
        }
        if queues.count > maximumQueues { parts.append("and \(queues.count - maximumQueues) more") }
        let count = "\(queues.count) \(queues.count == 1 ? "queue" : "queues")"
        let unacked = metrics["celery_unacked_messages"].map { "; \(Int(bounding: $0)) unacknowledged" } ?? ""
        return Finding(.ok, "queues", "\(count): \(parts.joined(separator: ", "))\(unacked)", search)
    }

    private static func tasks(_ metrics: MetricValues, _ target: Target) -> Finding? {
        let tables = metrics.labels("celery_beat_exporter_index_missing", "table").sorted()
        guard !tables.isEmpty else { return nil }
        let window = target.tasks.windows.max { $0.seconds < $1.seconds }?.name ?? "while"
        let count = metrics.labels("celery_task_results_total", "task_name").count
        let names = "\(count) task \(count == 1 ? "name" : "names") in the last \(window)"
        return Finding(.ok, "tasks", "reads \(tables.joined(separator: ", ")); \(names)")
    }

    private static func pipelines(_ metrics: MetricValues) -> Finding? {
        let roots = metrics.labels("celery_pipelines_in_progress", "root_task_name").count
        return roots == 0 ? nil : Finding(.ok, "pipelines", "pipelines of \(roots) \(roots == 1 ? "kind" : "kinds")")
    }

    private static func workers(_ metrics: MetricValues) -> Finding? {
        let workers = metrics.values("celery_worker_table_status", by: "worker_name")
        guard !workers.isEmpty else { return nil }
        let online = workers.count { $0.value == 1 }
        return Finding(
            .ok,
            "workers",
            "worker_status tells of \(workers.count), of which \(online) say they are online"
        )
    }
}

extension Int {
    /// A count that a server told, and may have made up: what does not fit is as much as fits.
    init(bounding value: Double) {
        self = value.isNaN ? 0 : Int(Swift.min(Swift.max(value, -1e18), 1e18))
    }
}
