package import Logging
internal import Reading
internal import Synchronization
internal import System

/// Runs the readers of one server in turn at an interval, on a thread of its own, and publishes what they conclude. Another
/// server that is slow never delays them.
package final class SourceLoop: Sendable {
    private let definitions: [ReaderDefinition]
    private let snapshot: CurrentSnapshot
    private let schedule: CollectionSchedule
    private let logger: Logger

    private enum Start {
        case toCome
        /// There was no thread to be had.
        case failed
        case done
    }

    private let stopping = Event()
    private let thread = Mutex(Start.toCome)

    /// - Parameter definitions: of readers of one server, at least one, in the order of their turns.
    package init(
        _ definitions: [ReaderDefinition],
        into snapshot: CurrentSnapshot,
        _ schedule: CollectionSchedule,
        logger: Logger
    ) {
        self.definitions = definitions
        self.snapshot = snapshot
        self.schedule = schedule
        self.logger = logger
    }

    /// Starts the thread, which ends some time after `stop`. Where there is none to be had, the collections count as failed,
    /// and another call tries it again; where it runs, that does nothing.
    package func start() {
        thread.withLock { thread in
            guard thread != .done, !stopping.wait(until: .now) else { return }
            // The thread owns the loop until it ends.
            if WorkThread.detach({ self.run() }) {
                thread = .done
                return
            }
            let shortage = SourceError(.overLimit, ThreadShortage().description)
            for definition in definitions { snapshot.publish(definition.name, .failure(shortage), took: 0) }
            guard thread == .toCome else { return }
            thread = .failed
            for definition in definitions {
                logger.warning(
                    "collection failed",
                    metadata: ["collector": "\(definition.name)", "error": "\(shortage.description)"]
                )
            }
        }
    }

    /// Lets the reader whose turn it is end, and starts no other.
    package func stop() {
        stopping.raise()
    }

    private func run() {
        WorkThread.name(definitions.first.map { $0.source ?? $0.name } ?? "")
        let context = ReaderContext(snapshot)
        let readers = definitions.map { $0.make(context) }
        var journals = definitions.map { CollectionJournal(collector: $0.name, logger: logger) }
        var next = ContinuousClock.now
        repeat {
            let end = ContinuousClock.now + schedule.timeout
            for (index, reader) in readers.enumerated() where !stopping.wait(until: .now) {
                let start = ContinuousClock.now
                let deadline = Self.share(of: start..<max(start, end), turns: readers.count - index, schedule.timeout)
                let result = Result { () throws(SourceError) in try reader.read(deadline) }
                snapshot.publish(definitions[index].name, result, took: start.duration(to: .now) / .seconds(1))
                journals[index].note(result)
            }
            // Collections keep their beat; those that a slow one overran are left out.
            repeat { next += schedule.interval } while next <= ContinuousClock.now
        } while !stopping.wait(until: next)
    }

    /// The deadline of the first of so many turns within a time: one may use what is left, but for a tenth of the timeout for
    /// each that comes after it, and what is less is shared equally.
    static func share(
        of time: Range<ContinuousClock.Instant>,
        turns: Int,
        _ timeout: Duration
    ) -> ContinuousClock.Instant {
        let equal = time.upperBound.share(amongst: turns, from: time.lowerBound)
        return max(equal, time.upperBound - timeout / 10 * (turns - 1))
    }
}
