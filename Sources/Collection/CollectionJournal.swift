internal import Logging
internal import Reading
internal import System

/// Writes down what collections meet with: each event once, not once an interval.
struct CollectionJournal {
    private let logger: Logger
    private var failure: SourceError?
    private var failures = 0
    private var told: Set<String> = []

    /// Problems quote foreign data, so their number is bounded.
    private static let maximumTold = 1000

    init(collector: String, logger: Logger) {
        var logger = logger
        logger[metadataKey: "collector"] = "\(collector)"
        self.logger = logger
    }

    mutating func note<State>(_ result: Result<Reading<State>, SourceError>) {
        switch result {
        case .success(let reading):
            if failure != nil { logger.info("collection works again", metadata: ["failures": "\(failures)"]) }
            failure = nil
            failures = 0
            for problem in reading.problems {
                tell(problem.description, "problem in the data", metadata: ["reason": "\(problem.reason.rawValue)"])
            }
            for advice in reading.advice { tell(advice.cut(), "advice") }
            // There is nothing to fix.
            for note in reading.notes { tell(note.cut(), "note", at: .info) }
        case .failure(let error):
            failures += 1
            // A failure that has changed its face is news.
            if failure?.reason != error.reason {
                logger.warning(
                    "collection failed",
                    metadata: ["reason": "\(error.reason.rawValue)", "error": "\(error.description)"]
                )
            } else {
                logger.debug("collection failed again", metadata: ["error": "\(error.description)"])
            }
            failure = error
        }
    }

    /// Logs a detail the first time it comes up.
    private mutating func tell(
        _ detail: String,
        _ message: Logger.Message,
        at level: Logger.Level = .warning,
        metadata: Logger.Metadata = [:]
    ) {
        guard told.count < Self.maximumTold, told.insert(detail).inserted else { return }
        logger.log(level: level, message, metadata: metadata.merging(["detail": "\(detail)"]) { first, _ in first })
        if told.count == Self.maximumTold { logger.warning("further problems are counted, not logged") }
    }
}
