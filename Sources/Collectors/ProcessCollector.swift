package import Collection
internal import Exposition
internal import Glibc
package import Reading

/// What the exporter itself costs, under the names all exporters use, and which build it is.
/// Source: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics and proc(5).
package struct ProcessCollector: Collector {
    private let version: String
    private let reloads: ConfigurationReloads

    package init(version: String, reloads: ConfigurationReloads) {
        self.version = version
        self.reloads = reloads
    }

    package func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected {
        guard let status = Self.readFile("/proc/self/stat"), let statistics = ProcessStatistics(status) else {
            throw SourceError(.server, "read /proc/self/stat: not readable; is /proc mounted?")
        }
        let bootTime = Self.readFile("/proc/stat").flatMap { ProcessStatistics.bootTime($0) }
        return Collected(
            reloads.families
                + Self.families(
                    of: statistics,
                    bootTime: bootTime,
                    openDescriptors: Self.openDescriptors(),
                    maximumDescriptors: Self.maximumDescriptors(),
                    version: version
                )
        )
    }

    static func families(
        of statistics: ProcessStatistics,
        bootTime: Double?,
        openDescriptors: Int?,
        maximumDescriptors: Double?,
        version: String
    ) -> [MetricFamily] {
        func family(_ family: MetricFamily, _ value: Double?) -> MetricFamily {
            family.with(value.map { [Sample($0)] } ?? [])
        }
        return [
            buildInfo.with(1, labels: [Label("version", version)]),
            family(cpuSeconds, statistics.cpuSeconds),
            family(residentMemory, statistics.residentBytes),
            family(virtualMemory, statistics.virtualBytes),
            family(startTime, bootTime.map { $0 + statistics.startSecondsAfterBoot }),
            family(openFiles, openDescriptors.map(Double.init)),
            family(maximumFiles, maximumDescriptors),
        ]
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
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // /proc/stat has a line for each processor; 64 kB hold several hundred.
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }

    // MARK: Families

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

/// The numbers of /proc/self/stat that matter. Source: proc_pid_stat(5).
struct ProcessStatistics: Equatable {
    let cpuSeconds: Double
    let startSecondsAfterBoot: Double
    let virtualBytes: Double
    let residentBytes: Double

    /// - Parameter ticksPerSecond: the unit of times, `sysconf(_SC_CLK_TCK)`.
    init?(
        _ text: String,
        ticksPerSecond: Double = Double(sysconf(CInt(_SC_CLK_TCK))),
        pageBytes: Double = Double(sysconf(CInt(_SC_PAGESIZE)))
    ) {
        // The second field is the program's name in parentheses, which may hold anything.
        guard let nameEnd = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: nameEnd)...].split(whereSeparator: \.isWhitespace)
        // Field 3 of the manual is the first here.
        func field(_ number: Int) -> Double? { fields.count > number - 3 ? Double(fields[number - 3]) : nil }
        guard let user = field(14), let system = field(15), let start = field(22), let virtual = field(23),
            let resident = field(24)
        else { return nil }
        cpuSeconds = (user + system) / ticksPerSecond
        startSecondsAfterBoot = start / ticksPerSecond
        virtualBytes = virtual
        residentBytes = resident * pageBytes
    }

    /// The line `btime` of /proc/stat: when the system started, in Unix time.
    static func bootTime(_ text: String) -> Double? {
        for line in text.split(separator: "\n") where line.hasPrefix("btime ") { return Double(line.dropFirst(6)) }
        return nil
    }
}
