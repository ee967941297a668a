internal import Celery
internal import Collection
internal import Collectors
internal import Glibc
internal import HTTP
internal import Postgres
internal import Redis

/// Which collectors run, by what the program was told.
enum CollectorList {
    /// The list of collectors. A new one is a file in Collectors and an entry here.
    static func collectors(for configuration: Configuration) -> [CollectorDefinition] {
        let target = configuration.target
        let redisLimits = RedisLimits(
            connectTimeout: configuration.collectTimeout,
            commandTimeout: configuration.collectTimeout
        )
        let scheduledQueues = SharedQueueNames()
        let maximumEntrySeries = configuration.maximumEntrySeries
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
            let timeout = configuration.collectTimeout
            // Each collector blocks on a connection of its own.
            @Sendable func client() -> PostgresClient { PostgresClient(address: address, timeout: timeout) }
            collectors += [
                CollectorDefinition(name: "tasks", source: "database") {
                    TaskCollector(
                        reader: TaskReader(client: client(), configuration: target.tasks),
                        configuration: target.tasks
                    )
                },
                CollectorDefinition(name: "pipelines", source: "database") {
                    PipelineCollector(
                        reader: PipelineReader(client: client(), configuration: target.tasks),
                        configuration: target.tasks
                    )
                },
                CollectorDefinition(name: "workers", source: "database") {
                    WorkerCollector(reader: WorkerReader(client: client(), maximumWorkers: target.maximumWorkers))
                },
            ]
            if target.looksFor(.django) {
                collectors.append(
                    CollectorDefinition(name: "django", source: "database") {
                        BeatCollector(
                            DatabaseSchedulerReader(
                                client: client(),
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
            if !target.expectedEntries.isEmpty {
                collectors.append(
                    CollectorDefinition(name: "evidence", source: "database") {
                        BeatCollector(
                            EvidenceReader(
                                client: client(),
                                tables: target.tasks.tables,
                                schedule: target.expectedEntries,
                                grace: target.redBeat.grace
                            ),
                            scheduledQueues: scheduledQueues,
                            maximumEntrySeries: maximumEntrySeries
                        )
                    }
                )
            }
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
}
