internal import Exposition
internal import Glibc
internal import Synchronization

/// How the last reading of the configuration went.
package final class ConfigurationReloads: Sendable {
    private let last: Mutex<(isSuccess: Bool, success: Double)>

    /// The configuration was read just now, and it was right.
    package init() {
        last = Mutex((true, Self.now))
    }

    package func note(isSuccess: Bool) {
        last.withLock { $0 = (isSuccess, isSuccess ? Self.now : $0.success) }
    }

    var families: [MetricFamily] {
        let (isSuccess, success) = last.withLock { $0 }
        return [Self.successful.with(isSuccess ? 1 : 0), Self.lastSuccess.with(success)]
    }

    private static var now: Double { Double(time(nil)) }

    private static let successful = MetricFamily(
        "celery_beat_exporter_config_last_reload_successful",
        help: "1 if the configuration was right when it was last read; otherwise the one before it goes on.",
        type: .gauge
    )
    private static let lastSuccess = MetricFamily(
        "celery_beat_exporter_config_last_reload_success_timestamp_seconds",
        help: "When the configuration was last read and right.",
        type: .gauge
    )
}
