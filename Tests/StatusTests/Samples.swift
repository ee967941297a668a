import Collection
import Exposition
import Reading

@testable import Status

/// What tests put together as the snapshot would.
enum Samples {
    static let now = 1_795_269_807.5

    static func gauge(_ name: String, _ value: Double, _ labels: (String, String)...) -> MetricFamily {
        MetricFamily(name, help: "", type: .gauge, value: value, labels: labels.map { Label($0, $1) })
    }

    /// A collector whose last collection brought families a second ago.
    static func reading(_ name: String, _ source: String?) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: source)
        health.note(.success(Collected([gauge("x", 1)])), at: now - 1)
        return health
    }

    /// One that has failed ever since ten minutes ago, and, unless it never did, had worked until then.
    static func failing(_ name: String, _ source: String, hasWorked: Bool = true) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: source)
        if hasWorked { health.note(.success(Collected([gauge("x", 1)])), at: now - 610) }
        let error = SourceError(.connect, "connect to \(source):1: refused")
        for age in [600.0, 10] { health.note(.failure(error), at: now - age) }
        return health
    }

    /// One of which nothing is known yet.
    static func pending(_ name: String, _ source: String) -> CollectorHealth {
        CollectorHealth(name: name, source: source)
    }

    /// The families of one beat that was looked at a second ago, by a clock that is an hour ahead.
    static func beat(_ scheduler: String, isUp: Double?, others: [String: Double] = [:]) -> [MetricFamily] {
        let observed = now + 3600 - 1
        var values: [String: Double] = [
            "observed_timestamp_seconds": observed, "scheduler_heartbeat": observed - 9,
            "deadline_timestamp_seconds": observed + 21, "grace_seconds": 2, "max_loop_interval_seconds": 30,
        ]
        values["up"] = isUp
        values.merge(others) { $1 }
        return values.sorted { $0.key < $1.key }.map { gauge("celery_beat_\($0)", $1, ("scheduler", scheduler)) }
    }

    static func status(
        _ families: [MetricFamily],
        _ collectors: [CollectorHealth],
        target: String? = nil,
        expecting schedulers: Set<String> = []
    ) -> ApplicationStatus {
        ApplicationStatus(
            target: target,
            families: families,
            collectors: collectors,
            expectedSchedulers: schedulers,
            time: now
        )
    }

    /// An application of which everything is known.
    static var full: ApplicationStatus {
        let observed = now + 3600 - 1
        func entry(_ name: String, _ value: Double, _ entry: String, _ task: String) -> MetricFamily {
            gauge("celery_beat_entry_\(name)", value, ("scheduler", "redbeat"), ("entry", entry), ("task_name", task))
        }
        let lock: [String: Double] = [
            "lock_held": 1, "lock_ttl_seconds": 141, "lock_timeout_seconds": 150, "start_time_seconds": observed - 3000,
            "instances": 1, "clock_skew_seconds": 0, "last_task_time": observed - 9,
            "schedule_next_due_timestamp_seconds": observed + 21, "schedule_entries": 4, "schedule_disabled_entries": 1,
            "schedule_invalid_entries": 1,
        ]
        let families =
            beat("redbeat", isUp: 1, others: lock) + [
                entry("enabled", 1, "nightly", "shop.close"), entry("overdue_seconds", 0, "nightly", "shop.close"),
                entry("last_run_timestamp_seconds", observed - 90_000, "nightly", "shop.close"),
                entry("next_due_timestamp_seconds", observed + 3600, "nightly", "shop.close"),
                entry("runs_total", 7, "nightly", "shop.close"),
                entry("enabled", 1, "often", "often"), entry("overdue_seconds", 100, "often", "often"),
                entry("enabled", 0, "off", "shop.off"), entry("overdue_seconds", 0, "off", "shop.off"),
                gauge("celery_queue_length", 2, ("queue_name", "celery")),
                gauge("celery_queue_length", 12_345, ("queue_name", "mail")),
                gauge("celery_unacked_messages", 3), gauge("celery_oldest_unacked_timestamp_seconds", now - 60),
                gauge("celery_unacked_visibility_timeout_seconds", 3600),
                gauge("celery_task_results_total", 1, ("task_name", "shop.idle"), ("status", "SUCCESS")),
                gauge("celery_task_success_ratio", 0.9996, ("task_name", "shop.close"), ("window", "5m")),
                gauge("celery_task_success_ratio", 0.5, ("task_name", "shop.close"), ("window", "1h")),
                gauge("celery_task_in_progress", 2, ("task_name", "shop.close"), ("status", "STARTED")),
                gauge("celery_task_in_progress", 1, ("task_name", "shop.close"), ("status", "RETRY")),
                gauge("celery_pipelines_in_progress", 4, ("root_task_name", "shop.import")),
                gauge("celery_pipeline_completion_ratio", 1, ("root_task_name", "shop.import"), ("window", "1h")),
                gauge("celery_worker_table_status", 1, ("worker_name", "a@h")),
                gauge("celery_worker_table_heartbeat_timestamp_seconds", now - 2, ("worker_name", "a@h")),
                gauge("celery_worker_table_active_tasks", 5, ("worker_name", "a@h")),
                gauge("celery_worker_table_status", 0, ("worker_name", "b@h")),
                gauge("celery_beat_exporter_config_last_reload_successful", 1),
            ]
        return status(
            families,
            [
                reading("process", nil), reading("redbeat", "redbeat"), reading("queues", "broker"),
                reading("tasks", "database"), failing("workers", "database"),
            ]
        )
    }
}
