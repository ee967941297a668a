internal import Celery
internal import Collection
internal import Reading
internal import Synchronization
internal import System

/// How long looks go on.
struct LookTimes {
    /// Until then looks that cannot tell all are repeated.
    let repeatsUntil: ContinuousClock.Instant
    /// Then nothing is waited for any longer: something hangs that no deadline reaches, such as a name server.
    let endsAt: ContinuousClock.Instant
    /// That each look may take.
    let timeout: Duration

    /// - Parameters:
    ///   - patience: for how long looks are repeated.
    ///   - timeout: that each look may take.
    init(patience: Duration, timeout: Duration) {
        repeatsUntil = .now + patience
        endsAt = repeatsUntil + timeout * 4
        self.timeout = timeout
    }
}

/// A look at one server, and at what its collectors bring once it answers.
final class ServerLook: Sendable {
    let name: String
    /// Without user and password.
    let address: String
    let collectors: [CollectorLook]
    private let probe: @Sendable () throws(SourceError) -> ServerState
    private let outcome: Outcome<ServerState>

    init(
        _ name: String,
        address: String,
        collectors: [CollectorLook],
        _ times: LookTimes,
        _ probe: @escaping @Sendable () throws(SourceError) -> ServerState
    ) {
        self.name = name
        self.address = address
        self.collectors = collectors
        self.probe = probe
        outcome = Outcome(until: times.endsAt)
    }

    /// - Parameter firstLooks: of the application's collectors.
    func start(_ firstLooks: FirstLooks) {
        let isStarted = WorkThread.detach { [self] in
            let result = Result { () throws(SourceError) in try probe() }
            outcome.set(result)
            switch result {
            case .success: for collector in collectors { collector.start(firstLooks) }
            // They would only say the same.
            case .failure: for _ in collectors { firstLooks.note() }
            }
        }
        guard !isStarted else { return }
        outcome.set(.failure(SourceError(.overLimit, ThreadShortage().description)))
        for _ in collectors { firstLooks.note() }
    }

    /// Waits for the server.
    var result: Result<ServerState, SourceError> { outcome.value }
}

/// The looks of one collector.
final class CollectorLook: Sendable {
    private let definition: ReaderDefinition
    private let snapshot: CurrentSnapshot
    private let times: LookTimes
    private let outcome: Outcome<Reading<StateChange>>
    /// Then looks may end.
    private let looksUntil: ContinuousClock.Instant

    /// A RedBeat's clock shows only in what it does between looks.
    private static let watchOfRedBeat = Duration.milliseconds(2500)
    /// Between two looks.
    private static let pause = Duration.milliseconds(100)

    /// - Parameter snapshot: where the looks of all collectors are put together.
    init(_ definition: ReaderDefinition, into snapshot: CurrentSnapshot, _ times: LookTimes) {
        self.definition = definition
        self.snapshot = snapshot
        self.times = times
        outcome = Outcome(until: times.endsAt)
        looksUntil = .now + (definition.name == Scheduler.redbeat.rawValue ? Self.watchOfRedBeat : .zero)
    }

    var name: String { definition.name }

    func start(_ firstLooks: FirstLooks) {
        let isStarted = WorkThread.detach { [self] in
            outcome.set(Result { () throws(SourceError) in try look(firstLooks) })
        }
        guard !isStarted else { return }
        outcome.set(.failure(SourceError(.overLimit, ThreadShortage().description)))
        firstLooks.note()
    }

    /// Waits for the collector.
    var result: Result<Reading<StateChange>, SourceError> { outcome.value }

    /// Looks until all is told, and once more if another collector was slower: it may have found what this one asks for.
    private func look(_ firstLooks: FirstLooks) throws(SourceError) -> Reading<StateChange> {
        let reader = definition.make(ReaderContext(snapshot))
        var problems: [SourceProblem] = []
        var isFirst = true
        while true {
            let wasLast = firstLooks.areDone
            let result = Result { () throws(SourceError) in try reader.read(.now + times.timeout) }
            snapshot.publish(definition.name, result, took: 0)
            if isFirst { firstLooks.note() }
            isFirst = false
            var reading = try result.get()
            // Some are told at the first look alone.
            problems += reading.problems.filter { !problems.contains($0) }
            reading.problems = problems
            let next = ContinuousClock.now + Self.pause
            guard reading.isPreliminary || !wasLast || next < looksUntil, next < times.repeatsUntil else {
                return reading
            }
            WorkThread.sleep(until: next)
        }
    }
}

/// Counts the collectors of an application that have not looked yet.
final class FirstLooks: Sendable {
    private let missing: Mutex<Int>

    init(_ count: Int) {
        missing = Mutex(count)
    }

    var areDone: Bool { missing.withLock { $0 <= 0 } }

    func note() {
        missing.withLock { $0 -= 1 }
    }
}

/// What a thread brings, for another that waits for it.
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, SourceError>?>(nil)
    private let isSet = Event()
    private let end: ContinuousClock.Instant

    /// - Parameter end: until when it is waited for.
    init(until end: ContinuousClock.Instant) {
        self.end = end
    }

    func set(_ result: Result<Value, SourceError>) {
        self.result.withLock { $0 = result }
        isSet.raise()
    }

    var value: Result<Value, SourceError> {
        _ = isSet.wait(until: end)
        return result.withLock { $0 }
            ?? .failure(SourceError(.timeout, "no answer at all; does its host name resolve?"))
    }
}
