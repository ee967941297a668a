package import Celery
package import Exposition

/// How many messages wait in the broker.
package enum QueueFamilies {
    package static func families(of state: QueueState) -> [MetricFamily] {
        [
            queueLength.with(
                state.queues.map { Sample(Double($0.length), labels: [Label("queue_name", $0.name)]) }
            ),
            priorityLength.with(
                state.queues.filter(\.usesPriorities).flatMap { queue in
                    queue.priorities.map { step in
                        Sample(
                            Double(step.length),
                            labels: [Label("queue_name", queue.name), Label("priority", String(step.priority))]
                        )
                    }
                }
            ),
            unacked.with(state.unacked.map { [Sample(Double($0))] } ?? []),
            oldestUnacked.with(state.oldestUnacked.map { [Sample($0)] } ?? []),
            visibilityTimeout.with(state.visibilityTimeout.map { [Sample($0)] } ?? []),
        ]
    }

    // MARK: Families

    private static let queueLength = MetricFamily(
        "celery_queue_length",
        help: "Messages waiting in the queue, all priorities together.",
        type: .gauge
    )
    private static let priorityLength = MetricFamily(
        "celery_queue_priority_length",
        help: "Messages waiting in the queue by priority, where priorities are in use. Lower numbers go first.",
        type: .gauge
    )
    private static let unacked = MetricFamily(
        "celery_unacked_messages",
        help: "Messages delivered to workers and not yet acknowledged, over all queues.",
        type: .gauge
    )
    private static let oldestUnacked = MetricFamily(
        "celery_oldest_unacked_timestamp_seconds",
        help: "When the oldest message that is not acknowledged was delivered.",
        type: .gauge
    )
    private static let visibilityTimeout = MetricFamily(
        "celery_unacked_visibility_timeout_seconds",
        help: "After so many seconds a message that is not acknowledged is delivered again.",
        type: .gauge
    )
}
