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
        switch collector {
        case Scheduler.redbeat.rawValue: server.redis.map(redBeat) ?? []
        case Scheduler.django.rawValue: server.postgres.map(django) ?? []
        case "queues": server.redis.map(queues) ?? []
        default: []
        }
    }

    private func redBeat(_ redis: RedisServerState) -> [Finding] {
        guard let key = target.redBeat.lockKey else { return [] }
        let subject = Scheduler.redbeat.rawValue
        var findings: [Finding] = []
        if redis.evictsLocks {
            let command = target.beatSettings.redisCommand
            let loss = ["beat ends when it loses its lock"]
            findings += eviction(of: key, by: redis, subject, loss, redisCommand: command)
        }
        if redis.lacksIdleTimes, target.redBeat.lockTimeout == nil {
            findings.append(
                Finding(
                    .warning,
                    subject,
                    "under \(redis.evictionPolicy ?? "LFU") Redis keeps no idle times",
                    ["a beat that died before the exporter started is known late", "set --redbeat.lock-timeout"]
                )
            )
        }
        return findings
    }

    private func queues(_ redis: RedisServerState) -> [Finding] {
        guard redis.evictsQueues else { return [] }
        let command = target.broker?.redis?.commandLine(orFor: "BROKER_URL") ?? "redis-cli -u BROKER_URL"
        return eviction(of: "queues and the tasks in them", by: redis, "queues", [], redisCommand: command)
    }

    /// - Parameter loss: what follows from it.
    private func eviction(
        of what: String,
        by redis: RedisServerState,
        _ subject: String,
        _ loss: [String],
        redisCommand: String
    ) -> [Finding] {
        guard let policy = redis.evictionPolicy else { return [] }
        let command = "\(Problem.command)\(redisCommand) CONFIG SET maxmemory-policy noeviction"
        let text = "Redis may evict \(what) when its memory is full (\(policy))"
        return [Finding(.warning, subject, text, loss + [command])]
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
