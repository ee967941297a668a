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
    /// Whether any ever brought families: what it looks for has been there.
    package private(set) var hasBroughtFamilies = false
    /// Whether another collection may soon tell more than the last one.
    package private(set) var isPreliminary = false
    /// Whether the last collection found nothing of what it looks for.
    package private(set) var isEmptyHanded = false
    package private(set) var lastSuccess: Double?
    /// When the first of the failures in a row came; nil while it succeeds.
    package private(set) var failingSince: Double?
    /// Why the last collection failed; nil when it did not. It holds no secret.
    package private(set) var error: SourceError?
    /// What the last collection met with that spoils single values, and what it advises: at most `maximumNotes` lines, which
    /// may quote foreign data.
    package private(set) var notes: [String] = []

    /// Problems quote foreign data, so their number is bounded.
    package static let maximumNotes = 10

    package init(name: String, source: String?) {
        self.name = name
        self.source = source
    }

    /// Takes in how a collection ended.
    package mutating func note(_ result: Result<Collected, SourceError>, at time: Double) {
        hasEnded = true
        switch result {
        case .success(let collected):
            isSuccess = true
            hasBroughtFamilies = hasBroughtFamilies || !collected.families.isEmpty
            isPreliminary = collected.isPreliminary
            isEmptyHanded = collected.isEmptyHanded
            lastSuccess = time
            failingSince = nil
            error = nil
            let texts = collected.problems.map(\.description) + collected.advice.map { $0.cut() }
            notes = Array(texts.prefix(Self.maximumNotes))
        case .failure(let error):
            isSuccess = false
            isPreliminary = false
            isEmptyHanded = false
            failingSince = failingSince ?? time
            self.error = error
            notes = []
        }
    }
}
