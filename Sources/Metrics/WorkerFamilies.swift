package import Celery
package import Exposition

/// What workers and others recorded of themselves and of queues.
package enum WorkerFamilies {
    package static func families(of state: WorkerState) -> [MetricFamily] {
        func workers(_ family: MetricFamily, _ value: (WorkerStatus) -> Double?) -> MetricFamily {
            family.with(
                state.workers.compactMap { worker in
                    value(worker).map { Sample($0, labels: [Label("worker_name", worker.name)]) }
                }
            )
        }
        func queues(_ family: MetricFamily, _ value: (RecordedQueue) -> Double) -> MetricFamily {
            family.with(state.queues.map { Sample(value($0), labels: [Label("queue_name", $0.name)]) })
        }
        return [
            workers(status) { $0.isOnline ? 1 : 0 },
            workers(heartbeat) { $0.heartbeat },
            workers(active) { $0.activeTasks.map(Double.init) },
            workers(processed) { $0.processedTasks.map(Double.init) },
            workers(failed) { $0.failedTasks.map(Double.init) },
            queues(depth) { Double($0.depth) },
            queues(recorded) { $0.recorded },
        ]
    }

    // MARK: Families

    private static let status = MetricFamily(
        "celery_worker_table_status",
        help: "1 if the worker said it is online. A killed worker goes on saying so: compare its heartbeat.",
        type: .gauge
    )
    private static let heartbeat = MetricFamily(
        "celery_worker_table_heartbeat_timestamp_seconds",
        help: "When the worker last wrote its status.",
        type: .gauge
    )
    private static let active = MetricFamily(
        "celery_worker_table_active_tasks",
        help: "Tasks that the worker was running.",
        type: .gauge
    )
    private static let processed = MetricFamily(
        "celery_worker_table_processed_tasks",
        help: "Tasks that the worker has ended since it started.",
        type: .gauge
    )
    private static let failed = MetricFamily(
        "celery_worker_table_failed_tasks",
        help: "Tasks of these that failed.",
        type: .gauge
    )
    private static let depth = MetricFamily(
        "celery_queue_table_length",
        help: "Messages that waited in the queue when that was last recorded.",
        type: .gauge
    )
    private static let recorded = MetricFamily(
        "celery_queue_table_recorded_timestamp_seconds",
        help: "When that was.",
        type: .gauge
    )
}
