/// The formats in which Prometheus takes metrics.
package enum ExpositionFormat: CaseIterable, Sendable {
    /// Version 0.0.4. Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    case text
    /// Version 1.0.0. Source: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
    case openMetrics

    package var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }
}
