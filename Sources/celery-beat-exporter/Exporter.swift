internal import Celery
internal import Collection
internal import Collectors
internal import Glibc
internal import HTTP
internal import Logging
internal import Postgres
internal import Redis

/// The running program: collectors on their threads, one snapshot, servers.
struct Exporter {
    private let configuration: Configuration
    private let logger: Logger

    init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT, which must be blocked in all threads.
    func run() throws(HTTPServerError) {
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let definitions = Self.collectors(for: configuration)
        let snapshot = Snapshot(
            collectors: definitions,
            validity: configuration.collectInterval * 2 + configuration.collectTimeout * 4
        )
        let routes = Routes(snapshot: snapshot, telemetryPath: configuration.telemetryPath)
        var servers: [HTTPServer] = []
        for address in configuration.listenAddresses {
            let server = try HTTPServer(listening: address) { routes.response(to: $0) }
            servers.append(server)
            logger.info(
                "serving",
                metadata: [
                    "address": "\(address.host.isEmpty ? "*" : address.host):\(server.port)",
                    "path": "\(configuration.telemetryPath)", "version": "\(Version.current)",
                ]
            )
        }
        let loops = definitions.map {
            CollectorLoop($0, into: snapshot, every: configuration.collectInterval, logger: logger)
        }
        for loop in loops { loop.start() }

        let signal = Self.waitForSignal()
        logger.info("stopping", metadata: ["signal": "\(signal)"])
        routes.beginShutdown()
        for loop in loops { loop.stop() }
        for server in servers { server.stop() }
    }

    /// The list of collectors. A new one is a file in Collectors and a line here.
    private static func collectors(for configuration: Configuration) -> [CollectorDefinition] {
        let target = configuration.target
        let redisLimits = RedisLimits(
            connectTimeout: configuration.collectTimeout,
            commandTimeout: configuration.collectTimeout
        )
        let scheduledQueues = SharedQueueNames()
        let maximumEntrySeries = configuration.maximumEntrySeries
        let databaseTimeout = configuration.collectTimeout
        var collectors = [
            CollectorDefinition(name: "process", source: nil) { ProcessCollector(version: Version.current) }
        ]
        if let address = target.redBeatAddress, target.looksFor(.redbeat) {
            collectors.append(
                CollectorDefinition(name: "redbeat", source: "redbeat") {
                    BeatCollector(
                        RedBeatReader(
                            client: RedisClient(address: address, limits: redisLimits),
                            configuration: target.redBeat
                        ),
                        scheduledQueues: scheduledQueues,
                        maximumEntrySeries: maximumEntrySeries
                    )
                }
            )
        }
        if let address = target.broker {
            collectors.append(
                CollectorDefinition(name: "queues", source: "broker") {
                    QueueCollector(
                        reader: QueueReader(
                            client: RedisClient(address: address, limits: redisLimits),
                            configuration: target.queues,
                            scheduledQueues: scheduledQueues
                        )
                    )
                }
            )
        }
        if let address = target.database {
            collectors.append(
                CollectorDefinition(name: "tasks", source: "database") {
                    TaskCollector(
                        reader: TaskReader(
                            client: PostgresClient(address: address, timeout: databaseTimeout),
                            configuration: target.tasks
                        ),
                        configuration: target.tasks
                    )
                }
            )
        }
        if let address = target.database, target.looksFor(.django) {
            collectors.append(
                CollectorDefinition(name: "django", source: "database") {
                    BeatCollector(
                        DatabaseSchedulerReader(
                            client: PostgresClient(address: address, timeout: databaseTimeout),
                            maxLoopInterval: target.redBeat.maxLoopInterval,
                            grace: target.redBeat.grace,
                            isExpected: target.schedulers != nil
                        ),
                        scheduledQueues: scheduledQueues,
                        maximumEntrySeries: maximumEntrySeries
                    )
                }
            )
        }
        if let address = target.database, !target.expectedEntries.isEmpty {
            collectors.append(
                CollectorDefinition(name: "evidence", source: "database") {
                    BeatCollector(
                        EvidenceReader(
                            client: PostgresClient(address: address, timeout: databaseTimeout),
                            schedule: target.expectedEntries,
                            grace: target.redBeat.grace
                        ),
                        scheduledQueues: scheduledQueues,
                        maximumEntrySeries: maximumEntrySeries
                    )
                }
            )
        }
        if let address = target.broker, let pattern = target.pingPattern {
            let ping = BeatPingConfiguration(
                pattern: pattern,
                identity: identity(of: configuration),
                interval: configuration.collectInterval / .seconds(1),
                grace: target.redBeat.grace,
                keys: target.queues.keys
            )
            collectors.append(
                CollectorDefinition(name: "ping", source: "broker") {
                    BeatCollector(
                        BeatPingReader(client: RedisClient(address: address, limits: redisLimits), configuration: ping)
                    )
                }
            )
        }
        return collectors
    }

    /// Tells this exporter from another that asks the same beats, and stays the same when it is started again.
    private static func identity(of configuration: Configuration) -> String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(host).\(configuration.listenAddresses.first?.port ?? 0)"
    }

    /// Blocks the signals that end the program, so that threads started later inherit that and only `sigwait` gets them.
    static func blockSignals() {
        var signals = endingSignals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        // hiredis and libpq write to sockets whose peer may be gone.
        Glibc.signal(SIGPIPE, SIG_IGN)
    }

    private static func waitForSignal() -> String {
        var signals = endingSignals
        var number: CInt = 0
        sigwait(&signals, &number)
        return number == SIGINT ? "SIGINT" : "SIGTERM"
    }

    private static var endingSignals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        return signals
    }
}
