/// What the tables `worker_status` and `queue_stats` say.
package struct WorkerState: Equatable, Sendable {
    /// By name.
    package var workers: [WorkerStatus]
    /// By name.
    package var queues: [RecordedQueue]

    package init(workers: [WorkerStatus], queues: [RecordedQueue]) {
        self.workers = workers
        self.queues = queues
    }
}

/// One worker, as it last said of itself. A killed one goes on saying ONLINE: its heartbeat tells.
package struct WorkerStatus: Equatable, Sendable {
    package var name: String
    package var isOnline: Bool
    /// Unix seconds; nil when not told, as all that follows.
    package var heartbeat: Double?
    package var activeTasks: Int?
    package var processedTasks: Int?
    package var failedTasks: Int?

    package init(
        name: String,
        isOnline: Bool,
        heartbeat: Double? = nil,
        activeTasks: Int? = nil,
        processedTasks: Int? = nil,
        failedTasks: Int? = nil
    ) {
        self.name = name
        self.isOnline = isOnline
        self.heartbeat = heartbeat
        self.activeTasks = activeTasks
        self.processedTasks = processedTasks
        self.failedTasks = failedTasks
    }
}

/// The latest depth of a queue that someone recorded.
package struct RecordedQueue: Equatable, Sendable {
    package var name: String
    package var depth: Int
    /// Unix seconds.
    package var recorded: Double

    package init(name: String, depth: Int, recorded: Double) {
        self.name = name
        self.depth = depth
        self.recorded = recorded
    }
}
