/// Something that is wrong at this moment, in words for whoever is on call. The status page, its JSON and `check` show the
/// same ones, each in its own form.
package struct Problem: Equatable, Sendable {
    package enum Severity: String, Sendable {
        /// Periodic tasks are not sent, or are sent twice, or nobody watches.
        case critical
        case warning
    }

    /// What the others may follow from stands before them.
    package enum Cause: Int, Sendable {
        /// A server that cannot be read.
        case server
        /// What may not be read of a server that answers.
        case access
        /// A beat that is not where it is looked for.
        case missingBeat
        /// Beat itself.
        case beat
        /// A clock, which makes entries late.
        case clock
        /// All else.
        case other
    }

    package let severity: Severity
    package let cause: Cause
    /// What it is about: a server, a collector, a scheduler.
    package let subject: String
    /// What was found, in one short line. It may hold foreign data.
    package let text: String
    /// More about it and what to do: a line each. What begins with `run: ` or `set: ` is copied as it stands.
    package let details: [String]
    /// The alert that fires when it lasts, whose runbook tells more; nil where there is none.
    package let alert: String?

    package init(
        _ severity: Severity,
        _ subject: String,
        _ text: String,
        _ details: [String] = [],
        cause: Cause = .other,
        alert: String? = nil
    ) {
        self.severity = severity
        self.subject = subject
        self.text = text
        self.details = details
        self.cause = cause
        self.alert = alert
    }

    /// With which a line begins that is a command for the shell or for psql.
    package static let command = "run: "
    /// With which a line begins that is a setting.
    package static let setting = "set: "

    /// What readers put in one line, as `it lacks an index; run: CREATE INDEX …`, in its parts.
    package static func parts(of line: String) -> (text: String, details: [String]) {
        var parts = line.split(separator: "; ", maxSplits: 1).map(String.init)
        guard let rest = parts.popLast(), !parts.isEmpty || rest.hasPrefix(command) else { return (line, []) }
        // A command may hold such a separator, and is one.
        let start = rest.firstRange(of: "; \(command)")
        parts += start.map { [String(rest[..<$0.lowerBound]), String(rest[$0.lowerBound...].dropFirst(2))] } ?? [rest]
        return (parts[0], Array(parts.dropFirst()))
    }
}
