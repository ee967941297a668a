import Celery
import Logging
import Reading
import Synchronization
import System
import Testing

@testable import Collection

@Suite struct SourceLoopTests {
    @Test(
        arguments: [
            // Alone it may take all there is.
            (5000, 1, 5000),
            // Half a second is kept for each of those that follow.
            (5000, 5, 3000), (2000, 4, 500), (2000, 2, 1500),
            // What is less is shared equally; what is gone is gone.
            (1000, 5, 200), (0, 3, 0),
        ]
    )
    func oneReaderLeavesOthersTheirTime(left: Int, turns: Int, share: Int) {
        let now = ContinuousClock.now
        let deadline = SourceLoop.share(of: now..<now + .milliseconds(left), turns: turns, .seconds(5))
        #expect(now.duration(to: deadline) == .milliseconds(share))
    }

    private final class Connection {
        let address: String

        init(to address: String) { self.address = address }
    }

    @Test func readersOfOneThreadShareWhatServesBoth() {
        let snapshot = CurrentSnapshot([], validity: .seconds(1))
        let context = ReaderContext(snapshot)
        func connection(to address: String, _ context: ReaderContext) -> Connection {
            context.shared {
                $0.address == address
            } make: {
                Connection(to: address)
            }
        }
        let one = connection(to: "a", context)
        #expect(connection(to: "a", context) === one)
        #expect(connection(to: "b", context) !== one)
        #expect(connection(to: "a", ReaderContext(snapshot)) !== one)
    }

    /// Tells of each turn, and brings nothing.
    private struct Turn: Reader {
        let name: String
        let turns: Turns

        func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> {
            turns.all.withLock { $0.append((name, deadline)) }
            return Reading(nil)
        }
    }

    private final class Turns: Sendable {
        let all = Mutex<[(name: String, deadline: ContinuousClock.Instant)]>([])
    }

    @Test func readersOfASourceAreAskedInTurnByOneDeadline() {
        let turns = Turns()
        let names = ["a", "b", "c"]
        let definitions = names.map { name in
            ReaderDefinition(name, source: "s", \.beats[.redbeat]) { _ in Turn(name: name, turns: turns) }
        }
        let snapshot = CurrentSnapshot(definitions, validity: .seconds(600))
        let loop = SourceLoop(
            definitions,
            into: snapshot,
            CollectionSchedule(interval: .seconds(3600), timeout: .seconds(600)),
            logger: Logger(label: "t")
        )
        loop.start()
        while !snapshot.value.isComplete { WorkThread.sleep(until: .now + .milliseconds(1)) }
        loop.stop()
        let all = turns.all.withLock { $0 }
        #expect(all.map(\.name) == names)
        let deadlines = all.map(\.deadline)
        #expect(deadlines == deadlines.sorted())
        // What is kept for the second and the third.
        #expect(deadlines.first.map { $0.duration(to: deadlines[2]) } == .seconds(120))
    }
}
