import Exposition
import Metrics
import Testing

@testable import Celery

@Suite struct QueueAndTaskFamiliesTests {
    private func samples(_ families: [MetricFamily]) -> String {
        String(decoding: ExpositionFormat.text.encode(families), as: UTF8.self)
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
            samples(QueueFamilies.families(of: state)) == """
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
            tables: ["task_info": true, "celery_taskmeta": false],
            tasks: [
                TaskAggregate(
                    name: "shop.pay",
                    results: ["SUCCESS": 3, "FAILURE": 1, "REVOKED": 0],
                    successRatios: [SuccessRatio(window: TaskWindow(name: "5m", seconds: 300), successes: 3, ended: 4)],
                    durationCounts: [3, 1],
                    durationSum: 2.5,
                    retries: 2,
                    errors: ["ValueError": 1],
                    inProgress: ["STARTED": 1]
                )
            ],
            foldedNames: 0
        )
        #expect(
            samples(TaskFamilies.families(of: state, durationBounds: [0.5])) == """
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
                celery_task_errors_total{task_name="shop.pay",exception="ValueError"} 1
                celery_beat_exporter_index_missing{table="celery_taskmeta"} 0
                celery_beat_exporter_index_missing{table="task_info"} 1
                celery_beat_exporter_folded_task_names_total 0
                """
        )
    }

    @Test func aTableWithoutStartsAndRetries() {
        let task = TaskAggregate(
            name: "t",
            results: ["SUCCESS": 0],
            successRatios: [],
            durationCounts: nil,
            durationSum: 0,
            retries: nil,
            inProgress: [:]
        )
        let state = TaskState(tables: [:], tasks: [task], foldedNames: 0)
        #expect(
            samples(TaskFamilies.families(of: state, durationBounds: [0.5])) == """
                celery_task_results_total{task_name="t",status="SUCCESS"} 0
                celery_beat_exporter_folded_task_names_total 0
                """
        )
    }

    @Test func pipelines() {
        var pipeline = PipelineAggregate(rootTask: "shop.order", durationCounts: [1, 1])
        pipeline.results["SUCCESS"] = 2
        pipeline.inProgress = 3
        pipeline.durationSum = 9
        pipeline.completionRatios = [
            SuccessRatio(window: TaskWindow(name: "1h", seconds: 3600), successes: 1, ended: 4)
        ]
        let families = PipelineFamilies.families(of: PipelineState(pipelines: [pipeline]), durationBounds: [5])
        #expect(
            samples(families) == """
                celery_pipeline_results_total{root_task_name="shop.order",status="FAILURE"} 0
                celery_pipeline_results_total{root_task_name="shop.order",status="SUCCESS"} 2
                celery_pipeline_completion_ratio{root_task_name="shop.order",window="1h"} 0.25
                celery_pipelines_in_progress{root_task_name="shop.order"} 3
                celery_pipeline_duration_seconds_bucket{root_task_name="shop.order",le="5"} 1
                celery_pipeline_duration_seconds_bucket{root_task_name="shop.order",le="+Inf"} 2
                celery_pipeline_duration_seconds_sum{root_task_name="shop.order"} 9
                celery_pipeline_duration_seconds_count{root_task_name="shop.order"} 2
                """
        )
    }

    @Test func workers() {
        let state = WorkerState(
            workers: [
                WorkerStatus(
                    name: "a@h",
                    isOnline: true,
                    heartbeat: 1000.5,
                    activeTasks: 2,
                    processedTasks: 10,
                    failedTasks: 1
                ),
                WorkerStatus(name: "b@h", isOnline: false),
            ],
            queues: [RecordedQueue(name: "mail", depth: 4, recorded: 900)]
        )
        #expect(
            samples(WorkerFamilies.families(of: state)) == """
                celery_worker_table_status{worker_name="a@h"} 1
                celery_worker_table_status{worker_name="b@h"} 0
                celery_worker_table_heartbeat_timestamp_seconds{worker_name="a@h"} 1000.5
                celery_worker_table_active_tasks{worker_name="a@h"} 2
                celery_worker_table_processed_tasks{worker_name="a@h"} 10
                celery_worker_table_failed_tasks{worker_name="a@h"} 1
                celery_queue_table_length{queue_name="mail"} 4
                celery_queue_table_recorded_timestamp_seconds{queue_name="mail"} 900
                """
        )
    }
}
