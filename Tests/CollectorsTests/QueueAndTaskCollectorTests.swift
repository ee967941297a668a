import Collectors
import Exposition
import Testing

@testable import Celery

@Suite struct QueueAndTaskCollectorTests {
    private func samples(_ families: [MetricFamily]) -> String {
        String(decoding: TextFormat.encode(families), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
    }

    @Test func queues() {
        let state = QueueState(
            queues: [
                QueueDepth(name: "celery", priorities: [PriorityDepth(priority: 0, length: 0)], usesPriorities: false),
                QueueDepth(
                    name: "mail",
                    priorities: [PriorityDepth(priority: 0, length: 2), PriorityDepth(priority: 9, length: 40)],
                    usesPriorities: true
                ),
            ],
            unacked: 8,
            oldestUnacked: 1795221940.25,
            visibilityTimeout: 3600
        )
        #expect(
            samples(QueueCollector.families(of: state)) == """
                celery_queue_length{queue_name="celery"} 0
                celery_queue_length{queue_name="mail"} 42
                celery_queue_priority_length{queue_name="mail",priority="0"} 2
                celery_queue_priority_length{queue_name="mail",priority="9"} 40
                celery_unacked_messages 8
                celery_oldest_unacked_timestamp_seconds 1795221940.25
                celery_unacked_visibility_timeout_seconds 3600
                """
        )
    }

    @Test func tasks() {
        let state = TaskState(
            table: "task_info",
            isIndexMissing: true,
            tasks: [
                TaskAggregate(
                    name: "shop.pay",
                    results: ["SUCCESS": 3, "FAILURE": 1, "REVOKED": 0],
                    successRatios: [SuccessRatio(window: TaskWindow(name: "5m", seconds: 300), ratio: 0.75)],
                    durationCounts: [3, 1],
                    durationSum: 2.5,
                    retries: 2,
                    inProgress: ["STARTED": 1]
                )
            ],
            foldedNames: 0
        )
        #expect(
            samples(TaskCollector.families(of: state, durationBounds: [0.5])) == """
                celery_task_results_total{task_name="shop.pay",status="FAILURE"} 1
                celery_task_results_total{task_name="shop.pay",status="REVOKED"} 0
                celery_task_results_total{task_name="shop.pay",status="SUCCESS"} 3
                celery_task_success_ratio{task_name="shop.pay",window="5m"} 0.75
                celery_task_duration_seconds_bucket{task_name="shop.pay",le="0.5"} 3
                celery_task_duration_seconds_bucket{task_name="shop.pay",le="+Inf"} 4
                celery_task_duration_seconds_sum{task_name="shop.pay"} 2.5
                celery_task_duration_seconds_count{task_name="shop.pay"} 4
                celery_task_in_progress{task_name="shop.pay",status="STARTED"} 1
                celery_task_retries_total{task_name="shop.pay"} 2
                celery_beat_exporter_index_missing{table="task_info"} 1
                celery_beat_exporter_folded_task_names_total 0
                """
        )
    }
}
