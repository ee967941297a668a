internal import Collection
package import Configuration
internal import Glibc

/// Looks once at everything that is configured, by the readers of the exporter itself, and says line by
/// line what is there, what is missing and what fixes it.
package struct Check {
    private let configuration: Configuration

    /// How long one look may be followed by others where it cannot tell all: longer than a DatabaseScheduler may sleep
    /// (5 s), its scans may be told late (10 s), and the grace (2 s).
    private static let patience = Duration.seconds(20)
    /// Applications that are looked at side by side; each takes up to ten threads and connections.
    private static let targetsAtOnce = 10

    package init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// Writes the findings to standard output, what is wrong first.
    ///
    /// - Returns: the exit code.
    package func run() -> Int32 {
        // libpq writes to sockets whose peer may be gone.
        signal(SIGPIPE, SIG_IGN)
        var applications: [(prefix: String, target: Target)] = []
        if configuration.target.hasSources { applications.append(("", configuration.target)) }
        applications += configuration.targets.sorted { $0.key < $1.key }.map { ("\($0.key) ", $0.value) }
        let width = applications.map { $0.prefix.count }.max() ?? 0
        if isatty(STDERR_FILENO) == 1 { Self.write("looking at all that is configured…", to: STDERR_FILENO) }
        var findings: [Finding] = []
        for start in stride(from: 0, to: applications.count, by: Self.targetsAtOnce) {
            let times = LookTimes(patience: Self.patience, timeout: configuration.schedule.timeout)
            let looks = applications[start..<min(start + Self.targetsAtOnce, applications.count)].map {
                TargetLook($0.target, prefix: $0.prefix, configuration, times)
            }
            for look in looks { findings += look.findings }
        }
        var count = FindingCount()
        for finding in Finding.inOrder(findings) {
            count.add(finding)
            for line in finding.lines(width: width + TargetLook.widestSubject) { Self.write(line) }
        }
        Self.write(count.summary)
        return count.exitCode
    }

    private static func write(_ line: String, to descriptor: CInt = STDOUT_FILENO) {
        var rest = Array("\(line)\n".utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            // Whoever read it has gone: the exit code still tells.
            guard count > 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
