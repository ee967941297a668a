package import Logging
internal import Reading
internal import Synchronization
internal import System

/// Runs one reader at its interval, on a thread of its own, and publishes what it concludes; a slow one never delays another.
package final class ReaderLoop: Sendable {
    private let definition: ReaderDefinition
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

    package init(
        _ definition: ReaderDefinition,
        into snapshot: CurrentSnapshot,
        _ schedule: CollectionSchedule,
        logger: Logger
    ) {
        self.definition = definition
        self.snapshot = snapshot
        self.schedule = schedule
        self.logger = logger
    }

    /// Starts the thread, which ends some time after `stop`. Where there is none to be had, the collection counts as failed,
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
            snapshot.publish(definition.name, .failure(shortage), took: 0)
            guard thread == .toCome else { return }
            thread = .failed
            logger.warning(
                "collection failed",
                metadata: ["collector": "\(definition.name)", "error": "\(shortage.description)"]
            )
        }
    }

    /// Lets the running collection end and starts no other.
    package func stop() {
        stopping.raise()
    }

    private func run() {
        WorkThread.name(definition.name)
        let reader = definition.make { [snapshot] in snapshot.value }
        var journal = CollectionJournal(collector: definition.name, logger: logger)
        var next = ContinuousClock.now
        repeat {
            let start = ContinuousClock.now
            let result = Result { () throws(SourceError) in try reader.read(start + schedule.timeout) }
            snapshot.publish(definition.name, result, took: start.duration(to: .now) / .seconds(1))
            journal.note(result)
            // Collections keep their beat; those that a slow one overran are left out.
            repeat { next += schedule.interval } while next <= ContinuousClock.now
        } while !stopping.wait(until: next)
    }
}
