internal import Collection
internal import Exposition
internal import Reading

/// How collectors fare: each reads one thing from one source.
enum CollectorFamilies {
    static func families(of collectors: [CollectorHealth]) -> [MetricFamily] {
        let ended = collectors.filter(\.hasEnded)
        var up: [String: Bool] = [:]
        for collector in ended {
            if let source = collector.source { up[source] = up[source, default: true] && collector.isSuccess }
        }
        func samples(_ value: (CollectorHealth) -> Double?) -> [Sample] {
            ended.compactMap { collector in
                value(collector).map { Sample($0, labels: [Label("collector", collector.name)]) }
            }
        }
        return [
            sourceUp.with(
                up.sorted { $0.key < $1.key }.map { Sample($0.value ? 1 : 0, labels: [Label("source", $0.key)]) }
            ),
            durationSeconds.with(samples { $0.duration }),
            success.with(samples { $0.isSuccess ? 1 : 0 }),
            lastSuccess.with(samples { $0.lastSuccess }),
            errors.with(
                collectors.flatMap { collector in
                    ErrorReason.allCases.map { reason in
                        Sample(
                            Double(collector.errors[reason] ?? 0),
                            labels: [Label("collector", collector.name), Label("reason", reason.rawValue)]
                        )
                    }
                }
            ),
        ]
    }

    // MARK: Families

    private static let sourceUp = MetricFamily(
        "celery_beat_exporter_source_up",
        help: "1 if the last collection from the source succeeded.",
        type: .gauge
    )
    private static let durationSeconds = MetricFamily(
        "celery_beat_exporter_collector_duration_seconds",
        help: "How long the last collection took.",
        type: .gauge
    )
    private static let success = MetricFamily(
        "celery_beat_exporter_collector_success",
        help: "1 if the last collection succeeded.",
        type: .gauge
    )
    private static let lastSuccess = MetricFamily(
        "celery_beat_exporter_collector_last_success_timestamp_seconds",
        help: "When a collection last succeeded, by the exporter's clock.",
        type: .gauge
    )
    private static let errors = MetricFamily(
        "celery_beat_exporter_collector_errors_total",
        help: "What went wrong in collections, by reason.",
        type: .counter
    )
}
