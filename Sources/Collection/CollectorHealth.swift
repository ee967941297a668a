package import Reading
internal import System

/// How one collector fares. Times are Unix seconds by the exporter's clock.
package struct CollectorHealth: Equatable, Sendable {
    package let name: String
    /// The source that it reads; nil for one that reads nothing but this process.
    package let source: String?
    /// Whether a collection has ended yet, in success or failure.
    package private(set) var hasEnded = false
    /// Whether the last one succeeded.
    package private(set) var isSuccess = false
    /// Whether any ever brought a state: what it looks for has been there.
    package private(set) var hasBroughtState = false
    /// Whether the next collection may soon tell more, because the last one could not look at everything.
    package private(set) var isPreliminary = false
    package private(set) var lastSuccess: Double?
    /// When the first of the failures in a row came; nil while it succeeds.
    package private(set) var failingSince: Double?
    /// Why the last collection failed; nil when it did not. It holds no secret.
    package private(set) var error: SourceError?
    /// What the last collection met with that spoils single values, and what it advises: at most `maximumNotes` lines, which
    /// may quote foreign data.
    package private(set) var notes: [String] = []
    /// How many lines there would have been beyond those.
    package private(set) var untoldNotes = 0
    /// Seconds that the last collection took.
    package private(set) var duration = 0.0
    /// What went wrong in all collections together.
    package private(set) var errors: [ErrorReason: Int] = [:]

    /// Problems quote foreign data, so their number is bounded.
    package static let maximumNotes = 10

    package init(name: String, source: String?) {
        self.name = name
        self.source = source
    }

    /// Takes in how a collection ended.
    /// - Parameter duration: seconds that it took.
    package mutating func note<State>(
        _ result: Result<Reading<State>, SourceError>,
        at time: Double,
        took duration: Double = 0
    ) {
        hasEnded = true
        self.duration = duration
        switch result {
        case .success(let reading):
            isSuccess = true
            isPreliminary = reading.isPreliminary
            hasBroughtState = hasBroughtState || reading.state != nil
            lastSuccess = time
            failingSince = nil
            error = nil
            // What we say comes first: problems may be many. They quote foreign data, which must not give commands.
            let texts =
                reading.advice.map { $0.cut() }
                + reading.problems.map { $0.reason == .permission ? $0.description : $0.description.withoutCommands }
            notes = Array(texts.prefix(Self.maximumNotes))
            untoldNotes = texts.count - notes.count
            for problem in reading.problems { errors[problem.reason, default: 0] += 1 }
        case .failure(let error):
            isSuccess = false
            isPreliminary = false
            failingSince = failingSince ?? time
            self.error = error
            errors[error.reason, default: 0] += 1
            notes = []
            untoldNotes = 0
        }
    }
}
