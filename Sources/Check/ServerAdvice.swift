internal import Celery
internal import Configuration
internal import Status
internal import Watching

/// What a server does to Celery, or keeps from the exporter, by its settings and the role's rights.
struct ServerAdvice {
    let target: Target
    let server: ServerState

    /// - Parameter collector: that reads from it.
    func findings(for collector: String) -> [Finding] {
        switch (server, Scheduler(rawValue: collector), collector) {
        case (.redis(let redis), .redbeat, _): redBeat(redis)
        case (.postgres(let postgres), .django, _): django(postgres)
        case (.redis(let redis), nil, "queues"): queues(redis)
        default: []
        }
    }

    private func redBeat(_ redis: RedisServerState) -> [Finding] {
        guard let key = target.redBeat.lockKey else { return [] }
        var findings: [Finding] = []
        if redis.evictsLocks, let policy = redis.evictionPolicy {
            findings.append(
                Finding(
                    .warning,
                    Scheduler.redbeat.rawValue,
                    "Redis may evict \(key) when its memory is full (\(policy))",
                    [
                        "beat ends when it loses its lock",
                        "\(Problem.command)\(target.beatSettings.redisCommand) CONFIG SET maxmemory-policy noeviction",
                    ]
                )
            )
        }
        if redis.lacksIdleTimes, target.redBeat.lockTimeout == nil {
            findings.append(
                Finding(
                    .warning,
                    Scheduler.redbeat.rawValue,
                    "under \(redis.evictionPolicy ?? "LFU") Redis keeps no idle times",
                    ["a beat that died before the exporter started is known late", "set --redbeat.lock-timeout"]
                )
            )
        }
        return findings
    }

    private func queues(_ redis: RedisServerState) -> [Finding] {
        guard redis.evictsQueues, let policy = redis.evictionPolicy else { return [] }
        let redisCommand = target.broker?.redis?.commandLine(orFor: "BROKER_URL") ?? "redis-cli -u BROKER_URL"
        return [
            Finding(
                .warning,
                "queues",
                "Redis may evict queues and the tasks in them when its memory is full (\(policy))",
                ["\(Problem.command)\(redisCommand) CONFIG SET maxmemory-policy noeviction"]
            )
        ]
    }

    private func django(_ postgres: PostgresServerState) -> [Finding] {
        guard postgres.hiddenSessions > 0 else { return [] }
        return [
            Finding(
                .warning,
                Scheduler.django.rawValue,
                "\(postgres.role) may not see what sessions of other roles do",
                [
                    "so beats are not counted, and a dead one is known 10 s later",
                    "\(Problem.command)GRANT pg_read_all_stats TO \(postgres.role)",
                ]
            )
        ]
    }
}
