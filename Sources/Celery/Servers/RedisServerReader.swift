package import Reading
package import Redis

/// What a Redis tells of itself, as far as it matters to Celery.
package struct RedisServerState: Equatable, Sendable {
    /// Its name and version, such as `Redis 7.0.15`; nil where it may not be asked.
    package var version: String?
    package var roundTrip: Duration
    package var isReplica = false
    /// `maxmemory-policy`; nil where that is not told.
    package var evictionPolicy: String?
    /// `maxmemory` in bytes; 0 for no bound, and then nothing is evicted.
    package var maximumMemory: Int64 = 0

    package init(version: String?, roundTrip: Duration) {
        self.version = version
        self.roundTrip = roundTrip
    }

    /// Whether the idle times of keys, which tell of beat, are not kept. Source: Redis's src/object.c, `objectCommand`.
    package var lacksIdleTimes: Bool { evictionPolicy?.hasSuffix("-lfu") ?? false }

    /// Whether keys with an end, as locks are, may be removed before it.
    package var evictsLocks: Bool { maximumMemory > 0 && evictionPolicy.map { $0 != "noeviction" } ?? false }

    /// Whether any key may be removed, queues too.
    package var evictsQueues: Bool { maximumMemory > 0 && evictionPolicy?.hasPrefix("allkeys-") ?? false }
}

/// Asks a Redis how it is.
package struct RedisServerReader {
    private let client: RedisClient

    package init(client: RedisClient) {
        self.client = client
    }

    /// - Parameter deadline: when all that it asks must have been answered.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> RedisServerState {
        do throws(RedisError) { return try state(until: deadline) } catch { throw SourceError(error) }
    }

    private func state(until deadline: ContinuousClock.Instant) throws(RedisError) -> RedisServerState {
        let replies = try client.pipeline(
            [RedisCommand("INFO", "server"), RedisCommand("INFO", "memory"), RedisCommand("INFO", "replication")],
            until: deadline
        )
        let information = ServerInformation(replies[0], replies[1], replies[2])
        // On the open connection, and of no cost to Redis.
        let start = ContinuousClock.now
        _ = try client.pipeline([RedisCommand("TIME")], until: deadline)
        var state = RedisServerState(version: Self.version(information), roundTrip: start.duration(to: .now))
        state.isReplica = information.text("role") == "slave"
        state.evictionPolicy = information.text("maxmemory_policy")
        state.maximumMemory = information["maxmemory"] ?? 0
        return state
    }

    /// Valkey says both which version it is and which version of Redis it equals.
    private static func version(_ information: ServerInformation) -> String? {
        if let version = information.text("valkey_version") { return "Valkey \(version)" }
        return information.text("redis_version").map { "Redis \($0)" }
    }
}
