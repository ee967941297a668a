internal import Celery
internal import Collection
internal import Collectors
internal import Postgres
internal import Redis

/// Which collectors watch an application, by what is known of it.
enum CollectorList {
    /// The list of collectors. A new one is a file in Collectors and an entry here.
    ///
    /// - Parameter identity: tells this exporter from another that asks the same beats.
    static func collectors(
        for target: Target,
        _ schedule: CollectionSchedule,
        identity: String
    ) -> [CollectorDefinition] {
        let redisLimits = RedisLimits(timeout: schedule.timeout)
        let scheduledQueues = SharedQueueNames()
        let maximumEntrySeries = target.maximumEntrySeries
        let redBeat = BeatSighting()
        var collectors: [CollectorDefinition] = []
        if let address = target.redBeatAddress, target.looksFor(.redbeat) {
            collectors.append(
                CollectorDefinition(name: "redbeat", source: "redbeat") {
                    BeatCollector(
                        RedBeatReader(
                            client: RedisClient(address: address, limits: redisLimits),
                            configuration: target.redBeat
                        ),
                        scheduledQueues: scheduledQueues,
                        maximumEntrySeries: maximumEntrySeries,
                        sighting: redBeat
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
            // Each collector blocks on a connection of its own.
            @Sendable func client() -> PostgresClient { PostgresClient(address: address, timeout: schedule.timeout) }
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
                                maxLoopInterval: { target.djangoMaxLoopInterval(besideRedBeat: redBeat.hasBeenSeen) },
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
                identity: identity,
                interval: schedule.interval / .seconds(1),
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
}
