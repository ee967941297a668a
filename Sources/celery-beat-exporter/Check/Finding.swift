internal import Status

/// One thing that `check` found.
struct Finding: Equatable, Sendable {
    enum Level: String, Sendable {
        case ok
        case warning = "warn"
        case failure = "FAIL"
    }

    let level: Level
    /// What it is about: a server, a collector.
    let subject: String
    /// What was found and, unless that is well, what to do. It may hold foreign data.
    let text: String

    init(_ level: Level, _ subject: String, _ text: String) {
        self.level = level
        self.subject = subject
        self.text = text
    }

    /// Characters of a line beyond which the text is cut: names that others chose have no bound.
    private static let maximumText = 2000

    /// One line for the terminal, without its end.
    ///
    /// - Parameter width: of the longest subject.
    func line(width: Int) -> String {
        let level = Self.padded(level.rawValue, to: 4)
        let text = text.count > Self.maximumText ? text.prefix(Self.maximumText) + "…" : text
        return JSONText.line("\(level)  \(Self.padded(subject, to: width))  \(text)")
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

/// How many findings there were of each kind.
struct FindingCount: Equatable {
    private var warnings = 0
    private var failures = 0

    mutating func add(_ finding: Finding) {
        switch finding.level {
        case .ok: break
        case .warning: warnings += 1
        case .failure: failures += 1
        }
    }

    /// The last line.
    var summary: String {
        func count(_ number: Int, _ noun: String) -> String? {
            number == 0 ? nil : "\(number) \(noun)\(number == 1 ? "" : "s")"
        }
        let parts = [count(warnings, "warning"), count(failures, "failure")].compactMap { $0 }
        return parts.isEmpty ? "all is well" : parts.joined(separator: ", ")
    }

    /// The status of the program: 1 if anything is wrong or missing.
    var exitCode: Int32 { warnings + failures == 0 ? 0 : 1 }
}
