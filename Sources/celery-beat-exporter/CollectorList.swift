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
                        "redbeat",
                        RedBeatReader(
                            client: RedisClient(address: address, limits: redisLimits),
                            configuration: target.redBeat
                        ),
                        maximumEntrySeries: maximumEntrySeries
                    ) { state in
                        redBeat.note()
                        scheduledQueues.set(state.schedule?.queues ?? [], of: "redbeat")
                    }
                }
            )
        }
        if let address = target.broker {
            collectors.append(
                CollectorDefinition(name: "queues", source: "broker") {
                    ReaderCollector(
                        QueueReader(
                            client: RedisClient(address: address, limits: redisLimits),
                            configuration: target.queues,
                            scheduledQueues: scheduledQueues
                        ),
                        families: QueueFamilies.families
                    )
                }
            )
        }
        if let address = target.database {
            // Each collector blocks on a connection of its own.
            @Sendable func client() -> PostgresClient { PostgresClient(address: address, timeout: schedule.timeout) }
            collectors += [
                CollectorDefinition(name: "tasks", source: "database") {
                    ReaderCollector(TaskReader(client: client(), configuration: target.tasks)) {
                        TaskFamilies.families(of: $0, durationBounds: target.tasks.durationBounds)
                    }
                },
                CollectorDefinition(name: "pipelines", source: "database") {
                    ReaderCollector(PipelineReader(client: client(), configuration: target.tasks)) {
                        PipelineFamilies.families(of: $0, durationBounds: target.tasks.durationBounds)
                    }
                },
                CollectorDefinition(name: "workers", source: "database") {
                    ReaderCollector(
                        WorkerReader(client: client(), maximumWorkers: target.maximumWorkers),
                        families: WorkerFamilies.families
                    )
                },
            ]
            if target.looksFor(.django) {
                collectors.append(
                    CollectorDefinition(name: "django", source: "database") {
                        BeatCollector(
                            "django",
                            DatabaseSchedulerReader(
                                client: client(),
                                maxLoopInterval: { target.djangoMaxLoopInterval(besideRedBeat: redBeat.hasBeenSeen) },
                                grace: target.redBeat.grace,
                                isExpected: target.schedulers != nil
                            ),
                            maximumEntrySeries: maximumEntrySeries
                        ) { scheduledQueues.set($0.schedule?.queues ?? [], of: "django") }
                    }
                )
            }
            if !target.expectedEntries.isEmpty {
                collectors.append(
                    CollectorDefinition(name: "evidence", source: "database") {
                        BeatCollector(
                            "evidence",
                            EvidenceReader(
                                client: client(),
                                tables: target.tasks.tables,
                                schedule: target.expectedEntries,
                                grace: target.redBeat.grace
                            ),
                            maximumEntrySeries: maximumEntrySeries
                        ) { scheduledQueues.set($0.schedule?.queues ?? [], of: "evidence") }
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
                        "ping",
                        BeatPingReader(client: RedisClient(address: address, limits: redisLimits), configuration: ping),
                        maximumEntrySeries: 0
                    )
                }
            )
        }
        return collectors
    }
}
