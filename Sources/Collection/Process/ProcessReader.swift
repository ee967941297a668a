internal import Glibc
package import Reading
internal import System

/// What the exporter itself costs, which build it is, and how its configuration fares.
package struct ProcessState: Equatable, Sendable {
    package var version: String
    package var cpuSeconds: Double
    package var residentBytes: Double
    package var virtualBytes: Double
    /// When the process started, in Unix time; nil where the system does not tell.
    package var startTime: Double?
    package var openDescriptors: Int?
    package var maximumDescriptors: Double?
    /// Whether the configuration was right when it was last read.
    package var isConfigurationLoaded: Bool
    /// When it was last read and right, in Unix time.
    package var configurationLoaded: Double
}

/// Reads what the system tells of this process. Source: proc(5).
package struct ProcessReader: Reader {
    private let version: String
    private let reloads: ConfigurationReloads

    package init(version: String, reloads: ConfigurationReloads) {
        self.version = version
        self.reloads = reloads
    }

    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<ProcessState> {
        guard let status = Self.readFile("/proc/self/stat"), let statistics = ProcessStatistics(status) else {
            throw SourceError(.server, "read /proc/self/stat: not readable; is /proc mounted?")
        }
        let bootTime = Self.readFile("/proc/stat").flatMap { ProcessStatistics.bootTime($0) }
        let reload = reloads.value
        return Reading(
            ProcessState(
                version: version,
                cpuSeconds: statistics.cpuSeconds,
                residentBytes: statistics.residentBytes,
                virtualBytes: statistics.virtualBytes,
                startTime: bootTime.map { $0 + statistics.startSecondsAfterBoot },
                openDescriptors: Self.openDescriptors(),
                maximumDescriptors: Self.maximumDescriptors(),
                isConfigurationLoaded: reload.isSuccess,
                configurationLoaded: reload.lastSuccess
            )
        )
    }

    private static func openDescriptors() -> Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // ".", ".." and the descriptor of the listing itself.
        return count - 3
    }

    private static func maximumDescriptors() -> Double? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Double(limit.rlim_cur)
    }

    private static func readFile(_ path: String) -> String? {
        (try? SmallFile.contents(of: path)).map { String(decoding: $0, as: UTF8.self) }
    }
}
