internal import Celery
internal import Collection
internal import Configuration
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
    init(_ name: String, _ result: Result<Reading<StateChange>, SourceError>, target: Target, server: ServerState) {
        let reading: Reading<StateChange>
        switch result {
        case .failure(let error):
            findings = [Finding(.failure, name, line: Self.cause(of: error), cause: .access)]
            // It cannot be read, which says nothing of whether there is one.
            isOfBeat = Scheduler(rawValue: name) != nil
            isBeatMissed = false
            return
        case .success(let success): reading = success
        }
        var states = ObservedStates()
        reading.state?(&states)
        let beat = Scheduler(rawValue: name).flatMap { scheduler in states.beats[scheduler].map { (scheduler, $0) } }
        isOfBeat = beat != nil
        isBeatMissed = beat?.1.isNowhere ?? false
        var findings = beat.map { BeatFindings($1, of: $0, target: target, server: server).findings } ?? []
        if let queues = states.queues {
            findings.append(Self.queues(queues, isSearching: reading.isPreliminary, target))
            if let redis = server.redis, redis.evictsQueues, let policy = redis.evictionPolicy {
                let redisCommand = target.broker?.redis?.commandLine(orFor: "BROKER_URL") ?? "redis-cli -u BROKER_URL"
                findings.append(
                    Finding(
                        .warning,
                        name,
                        "Redis may evict queues and the tasks in them when its memory is full (\(policy))",
                        ["\(Finding.command)\(redisCommand) CONFIG SET maxmemory-policy noeviction"]
                    )
                )
            }
        }
        if let tasks = states.tasks { findings += [Self.tasks(tasks, target)].compactMap(\.self) }
        if let pipelines = states.pipelines { findings += [Self.pipelines(pipelines)].compactMap(\.self) }
        if let workers = states.workers { findings += [Self.workers(workers)].compactMap(\.self) }
        findings += Self.bounded(reading.problems.map(\.description)).map { Finding(.warning, name, line: $0) }
        findings += reading.advice.map { Finding(.warning, name, line: $0) }
        findings += reading.notes.map { Finding(.ok, name, line: $0) }
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

    private static func queues(_ state: QueueState, isSearching: Bool, _ target: Target) -> Finding {
        let queues = state.queues.sorted { ($1.length, $0.name) < ($0.length, $1.name) }
        let search = isSearching ? ["the search through all keys for more has not ended"] : []
        guard !queues.isEmpty else {
            let advice = [
                "name them with --queues, or correct the database in --broker.url", "or give --broker.key-prefix",
            ]
            return Finding(.warning, "queues", "no queues were found", search + advice)
        }
        let named = Set(target.queues.names)
        var parts = queues.prefix(maximumQueues).map { queue in
            "\(queue.name) \(queue.length) (\(named.contains(queue.name) ? "named" : "found"))"
        }
        if queues.count > maximumQueues { parts.append("and \(queues.count - maximumQueues) more") }
        let count = "\(queues.count) \(queues.count == 1 ? "queue" : "queues")"
        let unacked = state.unacked.map { "; \($0) unacknowledged" } ?? ""
        return Finding(.ok, "queues", "\(count): \(parts.joined(separator: ", "))\(unacked)", search)
    }

    private static func tasks(_ state: TaskState, _ target: Target) -> Finding? {
        guard !state.tables.isEmpty else { return nil }
        let window = target.tasks.windows.max { $0.seconds < $1.seconds }?.name ?? "while"
        let count = state.tasks.count
        let names = "\(count) task \(count == 1 ? "name" : "names") in the last \(window)"
        return Finding(.ok, "tasks", "reads \(state.tables.keys.sorted().joined(separator: ", ")); \(names)")
    }

    private static func pipelines(_ state: PipelineState) -> Finding? {
        let roots = state.pipelines.count
        return roots == 0 ? nil : Finding(.ok, "pipelines", "pipelines of \(roots) \(roots == 1 ? "kind" : "kinds")")
    }

    private static func workers(_ state: WorkerState) -> Finding? {
        guard !state.workers.isEmpty else { return nil }
        let online = state.workers.count(where: \.isOnline)
        return Finding(
            .ok,
            "workers",
            "worker_status tells of \(state.workers.count), of which \(online) say they are online"
        )
    }
}
