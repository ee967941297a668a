package import Collection
package import Exposition

/// What the exporter itself costs, under the names all exporters use, and which build it is.
/// Source: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
package enum ProcessFamilies {
    package static func families(of state: ProcessState) -> [MetricFamily] {
        func family(_ family: MetricFamily, _ value: Double?) -> MetricFamily {
            family.with(value.map { [Sample($0)] } ?? [])
        }
        return [
            reloadSuccessful.with(state.isConfigurationLoaded ? 1 : 0),
            reloadSuccess.with(state.configurationLoaded),
            buildInfo.with(1, labels: [Label("version", state.version)]),
            family(cpuSeconds, state.cpuSeconds),
            family(residentMemory, state.residentBytes),
            family(virtualMemory, state.virtualBytes),
            family(startTime, state.startTime),
            family(openFiles, state.openDescriptors.map(Double.init)),
            family(maximumFiles, state.maximumDescriptors),
        ]
    }

    // MARK: Families

    private static let reloadSuccessful = MetricFamily(
        "celery_beat_exporter_config_last_reload_successful",
        help: "1 if the configuration was right when it was last read; otherwise the one before it goes on.",
        type: .gauge
    )
    private static let reloadSuccess = MetricFamily(
        "celery_beat_exporter_config_last_reload_success_timestamp_seconds",
        help: "When the configuration was last read and right.",
        type: .gauge
    )
    private static let buildInfo = MetricFamily(
        "celery_beat_exporter_build_info",
        help: "1, with the version of the exporter.",
        type: .gauge
    )
    private static let cpuSeconds = MetricFamily(
        "process_cpu_seconds_total",
        help: "User and system CPU time spent.",
        type: .counter
    )
    private static let residentMemory = MetricFamily(
        "process_resident_memory_bytes",
        help: "Resident memory size.",
        type: .gauge
    )
    private static let virtualMemory = MetricFamily(
        "process_virtual_memory_bytes",
        help: "Virtual memory size.",
        type: .gauge
    )
    private static let startTime = MetricFamily(
        "process_start_time_seconds",
        help: "When the process started, in Unix time.",
        type: .gauge
    )
    private static let openFiles = MetricFamily(
        "process_open_fds",
        help: "Open file descriptors.",
        type: .gauge
    )
    private static let maximumFiles = MetricFamily(
        "process_max_fds",
        help: "The most file descriptors the process may open.",
        type: .gauge
    )
}
