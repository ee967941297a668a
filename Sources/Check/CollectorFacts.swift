internal import Celery
internal import Collection
internal import Configuration

/// What collectors found: the lines of `check` beside what is wrong.
struct CollectorFacts {
    let states: ObservedStates
    let target: Target

    /// Of queues, tasks, pipelines and workers; beats have `BeatFacts`.
    ///
    /// - Parameter isSearching: whether it has not looked at everything yet.
    func findings(of collector: String, isSearching: Bool) -> [Finding] {
        let finding: Finding? =
            switch collector {
            case "queues": states.queues.flatMap { queues($0, isSearching: isSearching) }
            case "tasks": states.tasks.flatMap(tasks)
            case "pipelines": states.pipelines.flatMap(pipelines)
            case "workers": states.workers.flatMap(workers)
            default: nil
            }
        return [finding].compactMap(\.self)
    }

    /// The longest queues that are named.
    private static let maximumQueues = 10

    private func queues(_ state: QueueState, isSearching: Bool) -> Finding? {
        let queues = state.queues.sorted { ($1.length, $0.name) < ($0.length, $1.name) }
        guard !queues.isEmpty else { return nil }
        let named = Set(target.queues.names)
        var parts = queues.prefix(Self.maximumQueues).map { queue in
            "\(queue.name) \(queue.length) (\(named.contains(queue.name) ? "named" : "found"))"
        }
        if queues.count > Self.maximumQueues { parts.append("and \(queues.count - Self.maximumQueues) more") }
        let count = "\(queues.count) \(queues.count == 1 ? "queue" : "queues")"
        let unacked = state.unacked.map { "; \($0) unacknowledged" } ?? ""
        return Finding(
            .ok,
            "queues",
            "\(count): \(parts.joined(separator: ", "))\(unacked)",
            isSearching ? ["the search through all keys for more has not ended"] : []
        )
    }

    private func tasks(_ state: TaskState) -> Finding? {
        guard !state.tables.isEmpty else { return nil }
        let window = target.tasks.windows.max { $0.seconds < $1.seconds }?.name ?? "while"
        let count = state.tasks.count
        let names = "\(count) task \(count == 1 ? "name" : "names") in the last \(window)"
        return Finding(.ok, "tasks", "reads \(state.tables.keys.sorted().joined(separator: ", ")); \(names)")
    }

    private func pipelines(_ state: PipelineState) -> Finding? {
        let roots = state.pipelines.count
        return roots == 0 ? nil : Finding(.ok, "pipelines", "pipelines of \(roots) \(roots == 1 ? "kind" : "kinds")")
    }

    private func workers(_ state: WorkerState) -> Finding? {
        guard !state.workers.isEmpty else { return nil }
        let online = state.workers.count(where: \.isOnline)
        return Finding(
            .ok,
            "workers",
            "worker_status names \(state.workers.count), of which \(online) say they are online"
        )
    }
}
