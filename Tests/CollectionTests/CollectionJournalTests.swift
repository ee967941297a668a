import Logging
import Reading
import Synchronization
import Testing

@testable import Collection

@Suite struct CollectionJournalTests {
    /// Keeps lines instead of writing them.
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct KeepingHandler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.add("\(event.level) \(event.message) \(event.metadata?["detail"] ?? event.metadata?["reason"] ?? "")")
        }
    }

    @Test func eachEventIsToldOnce() {
        let lines = Lines()
        var journal = CollectionJournal(
            collector: "beat",
            logger: Logger(label: "t") { _ in KeepingHandler(lines: lines) }
        )
        let fine = Reading<Int>(
            nil,
            problems: [SourceProblem(.malformed, "entry x")],
            advice: ["make an index"],
            notes: ["reads task_info"]
        )
        func failure(_ reason: ErrorReason) -> Result<Reading<Int>, SourceError> { .failure(SourceError(reason, "x")) }
        for _ in 0..<3 { journal.note(.success(fine)) }
        for _ in 0..<3 { journal.note(failure(.timeout)) }
        journal.note(failure(.connect))
        for _ in 0..<2 { journal.note(.success(fine)) }
        journal.note(failure(.timeout))
        #expect(
            lines.all == [
                "warning problem in the data entry x", "warning advice make an index",
                "info note reads task_info", "warning collection failed timeout",
                "warning collection failed connect", "info collection works again ",
                "warning collection failed timeout",
            ]
        )
    }

    @Test func whatForeignDataCanMakeItSayIsBounded() {
        let lines = Lines()
        var journal = CollectionJournal(
            collector: "beat",
            logger: Logger(label: "t") { _ in KeepingHandler(lines: lines) }
        )
        for number in 0..<5000 {
            let problem = SourceProblem(.malformed, "entry \(number)")
            journal.note(.success(Reading<Int>(nil, problems: [problem])))
        }
        #expect(lines.all.count == 1001)
    }
}
