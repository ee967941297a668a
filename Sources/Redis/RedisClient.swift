/// Talks to one Redis, whatever servers it is made of, and connects again when it has to. For one thread at a time.
package final class RedisClient {
    package let address: RedisAddress
    private let limits: RedisLimits
    private let servers: any RedisTopology
    private let failover: RedisFailover?

    package init(address: RedisAddress, limits: RedisLimits) {
        self.address = address
        self.limits = limits
        failover = address.alternates.isEmpty ? nil : RedisFailover(address, limits: limits)
        servers = failover ?? Self.servers(at: address, limits: limits)
    }

    /// The way to the servers of an address, without its alternates.
    static func servers(at address: RedisAddress, limits: RedisLimits) -> any RedisTopology {
        let connector = RedisConnector(address: address, limits: limits)
        return switch address.servers {
        case .single(let endpoint): SingleServer(at: endpoint, connector: connector)
        case .sentinels(let sentinels): SentinelMaster(sentinels, connector: connector)
        case .cluster(let nodes): RedisCluster(startingAt: nodes, connector: connector)
        }
    }

    /// Which server of a list is used in place of its first, and why; nil while that is the first.
    package var failoverAdvice: String? { failover?.advice }

    /// Round trips since the start, to hold collections to their bound.
    package var roundTrips: Int { servers.roundTrips }

    /// Sends the commands and returns their replies in order: one round trip, in a cluster one for each node that holds
    /// some of the keys. Commands must be safe to repeat, since a dead connection is replaced.
    ///
    /// In a cluster each command may have one key, and those without one (TIME, INFO, ...) go to the node that holds the
    /// first key of the pipeline.
    ///
    /// - Parameter deadline: by when all must have been answered, with whatever connecting takes.
    package func pipeline(
        _ commands: [RedisCommand],
        until deadline: ContinuousClock.Instant
    ) throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        return try servers.pipeline(commands, until: deadline)
    }

    /// An error about what the server said.
    package func serverError(_ message: String) -> RedisError {
        .server(address: address.redacted, message: message)
    }
}
