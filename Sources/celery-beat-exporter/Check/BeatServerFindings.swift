internal import Celery
internal import Configuration

extension BeatFindings {
    /// What its server does to a beat, and keeps from the exporter.
    var serverFindings: [Finding] {
        var findings: [Finding] = []
        if let redis = server.redis, scheduler == .redbeat, let key = target.redBeat.lockKey {
            if redis.evictsLocks, let policy = redis.evictionPolicy {
                findings.append(
                    finding(
                        .warning,
                        "Redis may evict \(key) when its memory is full (\(policy))",
                        [
                            "beat ends when it loses its lock",
                            "\(Finding.command)\(redisCommand) CONFIG SET maxmemory-policy noeviction",
                        ]
                    )
                )
            }
            if redis.lacksIdleTimes, target.redBeat.lockTimeout == nil {
                findings.append(
                    finding(
                        .warning,
                        "under \(redis.evictionPolicy ?? "LFU") Redis keeps no idle times",
                        [
                            "a beat that died before the exporter started is known late",
                            "set --redbeat.lock-timeout",
                        ]
                    )
                )
            }
        }
        if let postgres = server.postgres, scheduler == .django, postgres.hiddenSessions > 0 {
            findings.append(
                finding(
                    .warning,
                    "\(postgres.role) may not see what sessions of other roles do",
                    [
                        "so beats are not counted, and a dead one is known 10s later",
                        "\(Finding.command)GRANT pg_read_all_stats TO \(postgres.role)",
                    ]
                )
            )
        }
        return findings
    }
}
