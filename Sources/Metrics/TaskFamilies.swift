package import Celery
package import Exposition

/// How tasks fare.
package enum TaskFamilies {
    package static func families(of state: TaskState, durationBounds: [Double]) -> [MetricFamily] {
        func samples(_ values: (TaskAggregate) -> [(Label, Double)]) -> [Sample] {
            state.tasks.flatMap { task in
                values(task).map { label, value in Sample(value, labels: [Label("task_name", task.name), label]) }
            }
        }
        return [
            results.with(
                samples { $0.results.sorted { $0.key < $1.key }.map { (Label("status", $0.key), Double($0.value)) } }
            ),
            successRatio.with(samples { $0.successRatios.map { (Label("window", $0.window.name), $0.ratio) } }),
            duration.with(
                state.tasks.flatMap { task in
                    task.durationCounts.map { counts in
                        Sample.histogram(
                            bounds: durationBounds,
                            counts: counts.map(Double.init),
                            sum: task.durationSum,
                            labels: [Label("task_name", task.name)]
                        )
                    } ?? []
                }
            ),
            inProgress.with(
                samples { $0.inProgress.sorted { $0.key < $1.key }.map { (Label("status", $0.key), Double($0.value)) } }
            ),
            retries.with(
                state.tasks.compactMap { task in
                    task.retries.map { Sample(Double($0), labels: [Label("task_name", task.name)]) }
                }
            ),
            errors.with(
                samples { $0.errors.sorted { $0.key < $1.key }.map { (Label("exception", $0.key), Double($0.value)) } }
            ),
            indexMissing.with(
                state.tables.sorted { $0.key < $1.key }.map { table, isMissing in
                    Sample(isMissing ? 1 : 0, labels: [Label("table", table)])
                }
            ),
            folded.with(Double(state.foldedNames)),
        ]
    }

    // MARK: Families

    private static let results = MetricFamily(
        "celery_task_results_total",
        help: "Tasks that ended since the exporter started, by final state.",
        type: .counter
    )
    private static let successRatio = MetricFamily(
        "celery_task_success_ratio",
        help: "Successes among successes and failures that ended within the window; absent when there were none.",
        type: .gauge
    )
    private static let duration = MetricFamily(
        "celery_task_duration_seconds",
        help: "Run time of tasks that ended since the exporter started.",
        type: .histogram
    )
    private static let inProgress = MetricFamily(
        "celery_task_in_progress",
        help: "Tasks not yet ended, by state.",
        type: .gauge
    )
    private static let retries = MetricFamily(
        "celery_task_retries_total",
        help: "Retries of tasks that ended since the exporter started.",
        type: .counter
    )
    private static let errors = MetricFamily(
        "celery_task_errors_total",
        help: "Failures since the exporter started, by the class of the exception.",
        type: .counter
    )
    private static let indexMissing = MetricFamily(
        "celery_beat_exporter_index_missing",
        help: "1 if the table lacks the index that keeps collections cheap.",
        type: .gauge
    )
    private static let folded = MetricFamily(
        "celery_beat_exporter_folded_task_names_total",
        help: "Times the name of a task or an exception beyond its bound was counted as other.",
        type: .counter
    )
}
