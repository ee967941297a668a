package import Celery
package import Exposition

/// How pipelines fare, chains above all.
package enum PipelineFamilies {
    package static func families(of state: PipelineState, durationBounds: [Double]) -> [MetricFamily] {
        func samples(_ values: (PipelineAggregate) -> [(Label?, Double)]) -> [Sample] {
            state.pipelines.flatMap { pipeline in
                values(pipeline).map { label, value in
                    let root = Label("root_task_name", pipeline.rootTask)
                    return Sample(value, labels: [root] + (label.map { [$0] } ?? []))
                }
            }
        }
        return [
            results.with(
                samples { $0.results.sorted { $0.key < $1.key }.map { (Label("status", $0.key), Double($0.value)) } }
            ),
            completionRatio.with(
                samples { $0.completionRatios.map { (Label("window", $0.window.name), $0.ratio) } }
            ),
            inProgress.with(samples { [(nil, Double($0.inProgress))] }),
            duration.with(
                state.pipelines.flatMap { pipeline in
                    Sample.histogram(
                        bounds: durationBounds,
                        counts: pipeline.durationCounts.map(Double.init),
                        sum: pipeline.durationSum,
                        labels: [Label("root_task_name", pipeline.rootTask)]
                    )
                }
            ),
        ]
    }

    // MARK: Families

    private static let results = MetricFamily(
        "celery_pipeline_results_total",
        help:
            "Pipelines that ended since the exporter started: SUCCESS when all members succeeded, FAILURE when one failed.",
        type: .counter
    )
    private static let completionRatio = MetricFamily(
        "celery_pipeline_completion_ratio",
        help: "Successes among pipelines that ended within the window; absent when there were none.",
        type: .gauge
    )
    private static let inProgress = MetricFamily(
        "celery_pipelines_in_progress",
        help: "Pipelines that have not ended.",
        type: .gauge
    )
    private static let duration = MetricFamily(
        "celery_pipeline_duration_seconds",
        help: "From the start of the first member to the end of the last, of pipelines that succeeded.",
        type: .histogram
    )
}
