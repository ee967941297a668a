internal import Celery
internal import Collection
internal import Collectors
internal import Postgres
internal import Redis

/// A look at one application. It begins when it is made, on threads of its own: one for each server and, once that has
/// answered, one for each of its collectors.
final class TargetLook: Sendable {
    private let target: Target
    private let prefix: String
    private let servers: [ServerLook]

    /// Characters of the longest subject, without a prefix.
    static let widestSubject = "redbeat redis".count

    /// - Parameters:
    ///   - prefix: of all subjects.
    ///   - times: how long it may take.
    init(_ target: Target, prefix: String, _ configuration: Configuration, _ times: LookTimes) {
        self.target = target
        self.prefix = prefix
        let schedule = configuration.schedule
        // Not the exporter's own: its answers must stay its own.
        let identity = "\(configuration.identity).check"
        let collectors = CollectorList.collectors(for: target, schedule, identity: identity)
        func looks(at sources: Set<String>) -> [CollectorLook] {
            collectors.filter { $0.source.map(sources.contains) ?? false }.map { CollectorLook($0, times) }
        }
        let limits = RedisLimits(timeout: schedule.timeout)
        func redis(_ name: String, _ address: RedisAddress, _ sources: Set<String>) -> ServerLook {
            ServerLook(name, address: address.redacted, collectors: looks(at: sources), times) {
                () throws(CollectionError) in
                do throws(RedisError) {
                    return .redis(try RedisServerReader(client: RedisClient(address: address, limits: limits)).read())
                } catch {
                    throw CollectionError(error)
                }
            }
        }
        var servers: [ServerLook] = []
        if let broker = target.broker {
            let isShared = target.redBeatAddress == broker
            servers.append(redis("broker", broker, isShared ? ["broker", "redbeat"] : ["broker"]))
        }
        if let address = target.redBeatAddress, address != target.broker, target.looksFor(.redbeat) {
            servers.append(redis("redbeat redis", address, ["redbeat"]))
        }
        if let address = target.database {
            servers.append(
                ServerLook("database", address: address.redacted, collectors: looks(at: ["database"]), times) {
                    () throws(CollectionError) in
                    let client = PostgresClient(address: address, timeout: schedule.timeout)
                    do throws(PostgresError) {
                        return .postgres(try PostgresServerReader(client: client).read())
                    } catch {
                        throw CollectionError(error)
                    }
                }
            )
        }
        self.servers = servers
        let firstLooks = FirstLooks(servers.reduce(0) { $0 + $1.collectors.count })
        for server in servers { server.start(firstLooks) }
    }

    /// Hands over the findings as they come, in a fixed order.
    func findings(_ tell: (Finding) -> Void) {
        func tellAll(_ findings: [Finding]) {
            for finding in findings { tell(Finding(finding.level, prefix + finding.subject, finding.text)) }
        }
        tellAll(target.warnings.map { Finding(.warning, "settings", $0) })
        var isBeatKnown = false
        for look in servers {
            let server: ServerState
            switch look.result {
            case .success(let state):
                server = state
                tellAll([Finding(look.name, look.address, state)])
            case .failure(let error):
                tellAll([Finding(.failure, look.name, error.description)])
                // Nobody knows what it would have told.
                isBeatKnown = isBeatKnown || look.collectors.contains { Scheduler(rawValue: $0.name) != nil }
                continue
            }
            for collector in look.collectors {
                let found = CollectorFindings(collector.name, collector.result, target: target, server: server)
                isBeatKnown = isBeatKnown || found.isOfBeat
                tellAll(found.findings)
            }
        }
        guard !isBeatKnown else { return }
        tellAll([Finding(.warning, "beat", noBeat)])
    }

    private var noBeat: String {
        var places: [String] = []
        if target.redBeatAddress != nil, target.looksFor(.redbeat) {
            places.append("RedBeat's keys (\(target.redBeat.keyPrefix)…; mend --redbeat.url or --redbeat.key-prefix)")
        }
        if target.database != nil, target.looksFor(.django) { places.append("tables of django-celery-beat") }
        let looked = places.isEmpty ? "" : " by " + places.joined(separator: ", nor by ")
        return "none found\(looked); for another scheduler give a schedule to expect, or --beat.ping"
    }
}
