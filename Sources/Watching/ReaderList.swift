package import Celery
package import Collection
package import Configuration
internal import Postgres
internal import Reading
package import Redis

/// Which readers watch an application, by what is known of it.
package enum ReaderList {
    /// The list of readers. A new one is a file in Celery, its state in `ObservedStates`, its families in Metrics, and an entry
    /// here.
    ///
    /// - Parameter identity: tells this exporter from another that asks the same beats.
    package static func readers(
        for target: Target,
        _ schedule: CollectionSchedule,
        identity: String
    ) -> [ReaderDefinition] {
        redBeat(target, schedule) + queues(target, schedule) + database(target, schedule)
            + ping(target, schedule, identity: identity)
    }

    private static func redBeat(_ target: Target, _ schedule: CollectionSchedule) -> [ReaderDefinition] {
        guard let address = target.redBeatAddress, target.looksFor(.redbeat) else { return [] }
        return [
            ReaderDefinition(.redbeat, source: "redbeat") { context in
                RedBeatReader(client: context.client(at: address, schedule), configuration: target.redBeat)
            }
        ]
    }

    private static func queues(_ target: Target, _ schedule: CollectionSchedule) -> [ReaderDefinition] {
        switch target.broker {
        case .redis(let address):
            [
                ReaderDefinition("queues", source: "broker", \.queues) { context in
                    queueReader(of: target, at: address, schedule, context)
                }
            ]
        case nil: []
        }
    }

    package static func queueReader(
        of target: Target,
        at address: RedisAddress,
        _ schedule: CollectionSchedule,
        _ context: ReaderContext
    ) -> QueueReader {
        QueueReader(
            client: context.client(at: address, schedule),
            configuration: target.queues,
            scheduledQueues: { [others = context.others] in others().states.scheduledQueues }
        )
    }

    private static func database(_ target: Target, _ schedule: CollectionSchedule) -> [ReaderDefinition] {
        guard let address = target.database else { return [] }
        // They are read in turn, so one connection serves all.
        @Sendable func client() -> PostgresClient { PostgresClient(address: address, timeout: schedule.timeout) }
        var readers = [
            ReaderDefinition("tasks", source: "database", \.tasks) { _ in
                TaskReader(client: client(), configuration: target.tasks)
            },
            ReaderDefinition("pipelines", source: "database", \.pipelines) { _ in
                PipelineReader(client: client(), configuration: target.tasks)
            },
            ReaderDefinition("workers", source: "database", \.workers) { _ in
                WorkerReader(client: client(), maximumWorkers: target.maximumWorkers)
            },
        ]
        if target.looksFor(.django) {
            readers.append(
                ReaderDefinition(.django, source: "database") { context in
                    let others = context.others
                    return DatabaseSchedulerReader(
                        client: client(),
                        maxLoopInterval: { target.djangoMaxLoopInterval(besideRedBeat: others().hasSeen(.redbeat)) },
                        grace: target.redBeat.grace,
                        isExpected: target.schedulers != nil
                    )
                }
            )
        }
        if !target.expectedEntries.isEmpty {
            readers.append(
                ReaderDefinition(.evidence, source: "database") { _ in
                    EvidenceReader(
                        client: client(),
                        tables: target.tasks.tables,
                        schedule: target.expectedEntries,
                        grace: target.redBeat.grace
                    )
                }
            )
        }
        return readers
    }

    private static func ping(
        _ target: Target,
        _ schedule: CollectionSchedule,
        identity: String
    ) -> [ReaderDefinition] {
        guard case .redis(let address) = target.broker, let pattern = target.pingPattern else { return [] }
        let configuration = BeatPingConfiguration(
            pattern: pattern,
            identity: identity,
            interval: schedule.interval / .seconds(1),
            grace: target.redBeat.grace,
            keys: target.queues.keys
        )
        return [
            ReaderDefinition(.ping, source: "broker") { _ in
                BeatPingReader(client: RedisClient(address: address, schedule), configuration: configuration)
            }
        ]
    }
}

extension RedisClient {
    package convenience init(address: RedisAddress, _ schedule: CollectionSchedule) {
        self.init(address: address, limits: RedisLimits(timeout: schedule.timeout))
    }
}

extension ReaderContext {
    /// The connection of the readers of one Redis.
    fileprivate func client(at address: RedisAddress, _ schedule: CollectionSchedule) -> RedisClient {
        shared {
            $0.address == address
        } make: {
            RedisClient(address: address, schedule)
        }
    }
}

extension ReaderDefinition {
    /// Of a beat.
    fileprivate init<Source: Reader>(
        _ scheduler: Scheduler,
        source: String,
        make: @escaping @Sendable (_ context: ReaderContext) -> Source
    ) where Source.State == BeatState {
        self.init(scheduler.rawValue, source: source, \.beats[scheduler], make: make)
    }
}
