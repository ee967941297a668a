package import Celery
package import Reading
internal import Synchronization
internal import System

/// What is known of one application at one moment.
package struct Snapshot: Equatable, Sendable {
    package var states = ObservedStates()
    /// How the readers fare, as they were listed.
    package var collectors: [CollectorHealth]
    /// Grows with every change: equal generations mean equal snapshots.
    package var generation = 0

    package init(states: ObservedStates = ObservedStates(), collectors: [CollectorHealth]) {
        self.states = states
        self.collectors = collectors
    }

    /// Whether the first collection of every reader has ended, in success or failure.
    package var isComplete: Bool { collectors.allSatisfy(\.hasEnded) }

    /// Whether there has ever been a sign that a scheduler is in use.
    package func hasSeen(_ scheduler: Scheduler) -> Bool {
        collectors.contains { $0.name == scheduler.rawValue && $0.hasBroughtState }
    }
}

/// The snapshot that is in force: written by the loops, read by whoever shows something.
///
/// A reader that fails takes its state away: nothing old is ever shown as if it were new. What is older than `validity`,
/// because its thread hangs in a call that no deadline reaches, is dropped and counts as failed.
package final class CurrentSnapshot: Sendable {
    private struct State {
        var snapshot: Snapshot
        var validUntil: [ContinuousClock.Instant]
    }

    private let definitions: [ReaderDefinition]
    private let validity: Duration
    private let state: Mutex<State>

    /// - Parameter validity: how long a state may be shown; more than an interval and a collection's deadline.
    package init(_ definitions: [ReaderDefinition], validity: Duration) {
        self.definitions = definitions
        self.validity = validity
        let collectors = definitions.map { CollectorHealth(name: $0.name, source: $0.source) }
        state = Mutex(
            State(
                snapshot: Snapshot(collectors: collectors),
                validUntil: definitions.map { _ in .now + validity }
            )
        )
    }

    package var value: Snapshot {
        state.withLock { state in
            expire(&state)
            return state.snapshot
        }
    }

    package var generation: Int {
        state.withLock { state in
            expire(&state)
            return state.snapshot.generation
        }
    }

    /// Takes in how a collection ended.
    package func publish(_ name: String, _ result: Result<Reading<StateChange>, SourceError>, took duration: Double) {
        guard let index = definitions.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("\(name) publishes but was not announced")
        }
        state.withLock { state in note(result, of: index, took: duration, &state) }
    }

    private func note(
        _ result: Result<Reading<StateChange>, SourceError>,
        of index: Int,
        took duration: Double,
        _ state: inout State
    ) {
        let change = (try? result.get())?.state ?? definitions[index].clear
        change(&state.snapshot.states)
        state.snapshot.collectors[index].note(result, at: UnixTime.now, took: duration)
        state.snapshot.generation += 1
        state.validUntil[index] = .now + validity
    }

    private func expire(_ state: inout State) {
        let now = ContinuousClock.now
        // Counted once for each further span without an answer.
        for index in definitions.indices where state.validUntil[index] < now {
            let hangs = SourceError(.timeout, "the collection has not ended for \(validity); its source hangs")
            note(.failure(hangs), of: index, took: state.snapshot.collectors[index].duration, &state)
        }
    }
}
