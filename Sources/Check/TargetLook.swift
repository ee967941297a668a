internal import Celery
internal import Collection
internal import Configuration
internal import Postgres
internal import Reading
internal import Redis
internal import Status
internal import System
internal import Watching

/// A look at one application. It begins when it is made, on threads of its own: one for each server and, once that has
/// answered, one for each of its collectors.
final class TargetLook: Sendable {
    private let target: Target
    private let prefix: String
    private let timeout: Duration
    private let servers: [ServerLook]
    /// What all collectors brought, put together.
    private let snapshot: CurrentSnapshot

    /// Characters of the longest subject, without a prefix.
    static let widestSubject = "redbeat redis".count

    /// - Parameters:
    ///   - prefix: of all subjects.
    ///   - times: how long it may take.
    init(_ target: Target, prefix: String, _ configuration: Configuration, _ times: LookTimes) {
        self.target = target
        self.prefix = prefix
        timeout = configuration.schedule.timeout
        let schedule = configuration.schedule
        // Not the exporter's own: its answers must stay its own.
        let identity = "\(configuration.identity).check"
        let definitions = ReaderList.readers(for: target, schedule, identity: identity)
            .map { Self.watchingQueues($0, target, schedule) }
        let snapshot = CurrentSnapshot(definitions, validity: ContinuousClock.now.duration(to: times.endsAt) * 2)
        func looks(at sources: Set<String>) -> [CollectorLook] {
            definitions.filter { $0.source.map(sources.contains) ?? false }
                .map { CollectorLook($0, into: snapshot, times) }
        }
        func redis(_ source: String, _ address: RedisAddress, _ sources: Set<String>) -> ServerLook {
            ServerLook(
                ApplicationStatus.title(ofSource: source),
                address: address.redacted,
                collectors: looks(at: sources),
                times
            ) {
                () throws(SourceError) in
                let client = RedisClient(address: address, schedule)
                return .redis(try RedisServerReader(client: client).read(until: .now + schedule.timeout))
            }
        }
        var servers: [ServerLook] = []
        switch target.broker {
        case .redis(let address):
            let isShared = target.redBeatAddress == address
            servers.append(redis("broker", address, isShared ? ["broker", "redbeat"] : ["broker"]))
        case nil: break
        }
        if let address = target.redBeatAddress, address != target.broker?.redis, target.looksFor(.redbeat) {
            servers.append(redis("redbeat", address, ["redbeat"]))
        }
        if let address = target.database {
            servers.append(
                ServerLook("database", address: address.redacted, collectors: looks(at: ["database"]), times) {
                    () throws(SourceError) in
                    let client = PostgresClient(address: address, timeout: schedule.timeout)
                    return .postgres(try PostgresServerReader(client: client).read(until: .now + schedule.timeout))
                }
            )
        }
        self.servers = servers
        self.snapshot = snapshot
        let firstLooks = FirstLooks(servers.reduce(0) { $0 + $1.collectors.count })
        for server in servers { server.start(firstLooks) }
    }

    private static func watchingQueues(
        _ definition: ReaderDefinition,
        _ target: Target,
        _ schedule: CollectionSchedule
    ) -> ReaderDefinition {
        guard definition.name == "queues", case .redis(let broker) = target.broker else { return definition }
        return ReaderDefinition(definition.name, source: definition.source, \.queues) { context in
            WatchedQueues(
                ReaderList.queueReader(of: target, at: broker, schedule, context),
                StandingQueues(client: RedisClient(address: broker, schedule), keys: target.queues.keys)
            )
        }
    }

    /// Waits for all that was looked at.
    var findings: [Finding] {
        let looks = servers.map { (look: $0, server: $0.result) }
        var notes: [String: [String]] = [:]
        for (look, server) in looks {
            for collector in look.collectors {
                // Nothing of a server that does not answer was looked at.
                let result = server.flatMap { _ in collector.result }
                snapshot.publish(collector.name, result, took: 0)
                notes[collector.name] = (try? result.get())?.notes
            }
        }
        let status = conclude()
        let facts = looks.flatMap { look, server in
            (try? server.get()).map { found(on: look, $0, status, notes) } ?? []
        }
        let settings = target.warnings.map { Finding(.warning, "settings", line: $0) }
        return (settings + status.problems.map(Finding.init) + facts).map { $0.prefixed(prefix) }
    }

    /// Everything that was seen, together; where a beat is missed it is looked for elsewhere.
    private func conclude() -> ApplicationStatus {
        let snapshot = snapshot.value
        let missed = BeatsFound(snapshot, expected: target.expectedSchedulers).missed
        return ApplicationStatus(
            of: target,
            named: nil,
            snapshot,
            search: missed.isEmpty ? nil : BeatFinder(target, timeout: timeout).search(for: missed),
            at: UnixTime.now
        )
    }

    /// What a server that answers is, and what was found on it.
    private func found(
        on look: ServerLook,
        _ server: ServerState,
        _ status: ApplicationStatus,
        _ notes: [String: [String]]
    ) -> [Finding] {
        let states = snapshot.value.states
        let advice = ServerAdvice(target: target, server: server)
        return [Finding(look.name, look.address, server)]
            + look.collectors.flatMap { collector in
                let name = collector.name
                let beats = status.beats.filter { $0.scheduler.rawValue == name && $0.observed != nil }
                let isSearching = status.collectors.contains { $0.name == name && $0.isPreliminary }
                return beats.flatMap { BeatFacts($0, status.settings).findings }
                    + CollectorFacts(states: states, target: target).findings(of: name, isSearching: isSearching)
                    // Nobody's beat is missed where none was found.
                    + (Scheduler(rawValue: name) == nil || !beats.isEmpty ? advice.findings(for: name) : [])
                    + (notes[name] ?? []).map { Finding(.ok, name, line: $0) }
            }
    }
}
