internal import Celery
internal import Collection
internal import Configuration
internal import Postgres
internal import Reading
internal import Redis

/// A look at one application. It begins when it is made, on threads of its own: one for each server and, once that has
/// answered, one for each of its collectors.
final class TargetLook: Sendable {
    private let target: Target
    private let prefix: String
    private let timeout: Duration
    private let servers: [ServerLook]

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
        func redis(_ name: String, _ address: RedisAddress, _ sources: Set<String>) -> ServerLook {
            ServerLook(name, address: address.redacted, collectors: looks(at: sources), times) {
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
            servers.append(redis("redbeat redis", address, ["redbeat"]))
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
        var findings = target.warnings.map { Finding(.warning, "settings", line: $0) }
        var isBeatKnown = false
        var missed: Set<Scheduler> = []
        var emptyHanded: Set<Scheduler> = []
        for look in servers {
            let server: ServerState
            switch look.result {
            case .success(let state):
                server = state
                findings.append(Finding(look.name, look.address, state))
            case .failure(let error):
                findings.append(Finding(.failure, look.name, line: error.description, cause: .server))
                // Nobody knows what it would have told.
                isBeatKnown = isBeatKnown || look.collectors.contains { Scheduler(rawValue: $0.name) != nil }
                continue
            }
            for collector in look.collectors {
                let found = CollectorFindings(collector.name, collector.result, target: target, server: server)
                isBeatKnown = isBeatKnown || found.isOfBeat
                if let scheduler = Scheduler(rawValue: collector.name) {
                    if found.isBeatMissed { missed.insert(scheduler) }
                    if !found.isOfBeat { emptyHanded.insert(scheduler) }
                }
                findings += found.findings
            }
        }
        let finder = BeatFinder(target, timeout: timeout)
        for scheduler in missed {
            let search = finder.search(for: [scheduler])
            findings = findings.map { $0.isOfMissing(scheduler.rawValue) ? $0.adding(search) : $0 }
        }
        if !isBeatKnown { findings.append(Finding(missing: finder.search(for: emptyHanded))) }
        return findings.map { $0.prefixed(prefix) }
    }
}
