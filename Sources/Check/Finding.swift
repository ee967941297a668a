internal import Collection
internal import JSON
internal import Status
internal import System

/// One thing that `check` found.
struct Finding: Equatable, Sendable {
    enum Level: String, Sendable, CaseIterable {
        case failure = "FAIL"
        case warning = "warn"
        case ok
    }

    let level: Level
    /// What it is about: a server, a collector.
    let subject: String
    /// What was found, in one short line. It may hold foreign data.
    let text: String
    /// More about it and, unless it is well, what to do: a line each. What begins with `run: ` or `set: ` is copied as it
    /// stands.
    let details: [String]
    let cause: Problem.Cause

    init(_ level: Level, _ subject: String, _ text: String, _ details: [String] = [], cause: Problem.Cause = .other) {
        self.level = level
        self.subject = subject
        self.text = text
        self.details = details
        self.cause = cause
    }

    /// What is wrong. Whatever cannot be read fails a check, for it may hide the rest.
    init(_ problem: Problem) {
        let isUnread = problem.cause == .server || problem.cause == .access
        self.init(
            problem.severity == .critical || isUnread ? .failure : .warning,
            problem.subject,
            problem.text,
            problem.details,
            cause: problem.cause
        )
    }

    /// Of what others have put in one line, as `it lacks an index; run: CREATE INDEX …`.
    init(_ level: Level, _ subject: String, line: String) {
        let (text, details) = Problem.parts(of: line)
        self.init(level, subject, text, details)
    }

    /// The same about a subject of one of several applications.
    func prefixed(_ prefix: String) -> Finding {
        Finding(level, prefix + subject, text, details, cause: cause)
    }

    /// The worst first and, of what is equally bad, what the rest follows from.
    static func inOrder(_ findings: [Finding]) -> [Finding] {
        func rank(_ finding: Finding, _ place: Int) -> (Int, Int, Int) {
            let level = Level.allCases.firstIndex(of: finding.level) ?? 0
            // What is well stands as it was looked at.
            return (level, finding.level == .ok ? 0 : finding.cause.rawValue, place)
        }
        return findings.enumerated().sorted { rank($0.element, $0.offset) < rank($1.element, $1.offset) }.map(\.element)
    }

    // MARK: Lines

    /// Characters of a line that are read without turning the head.
    private static let width = 100
    /// Characters beyond which a text is cut: names that others chose have no bound.
    private static let maximumText = 1000

    /// Lines for the terminal, without their ends.
    ///
    /// - Parameter width: of the longest subject.
    func lines(width: Int) -> [String] {
        let head = "\(Self.padded(level.rawValue, to: 4))  \(Self.padded(subject, to: width))  "
        let indent = String(repeating: " ", count: head.count)
        var lines = Self.wrapped(text, after: head.count).enumerated().map { index, line in
            JSONText.line(index == 0 ? head : indent + "  ") + line
        }
        for detail in details {
            lines += Self.wrapped(detail, after: head.count).enumerated().map { index, line in
                (index == 0 ? indent : indent + "  ") + line
            }
        }
        return lines
    }

    /// The text in pieces that fit, cut at blanks; a command stays whole.
    private static func wrapped(_ text: String, after indent: Int) -> [String] {
        // By bytes as well: a single character may have many thousands.
        let text = text.cut(toBytes: maximumText * 4)
        let bounded = text.count > maximumText ? text.prefix(maximumText) + "…" : text[...]
        let line = JSONText.line(String(bounded))
        guard !line.hasPrefix(Problem.command), !line.hasPrefix(Problem.setting) else { return [line] }
        var pieces: [String] = []
        for word in line.split(separator: " ", omittingEmptySubsequences: false) {
            let room = Self.width - indent - (pieces.count > 1 ? 2 : 0)
            if let last = pieces.last, last.count + 1 + word.count <= max(room, 20) {
                pieces[pieces.count - 1] = "\(last) \(word)"
            } else {
                pieces.append(String(word))
            }
        }
        return pieces
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
