internal import Glibc

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
