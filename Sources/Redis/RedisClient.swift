/// Talks to one Redis and connects again when it has to. For one thread at a time.
package final class RedisClient {
    package let address: RedisAddress
    private let limits: RedisLimits
    private var connection: RedisConnection?
    /// Round trips since the start, to hold collections to their bound.
    package private(set) var roundTrips = 0

    package init(address: RedisAddress, limits: RedisLimits) {
        self.address = address
        self.limits = limits
    }

    /// Sends the commands in one round trip and returns their replies in order.
    ///
    /// A connection that was found dead although it had been idle since the last pipeline is replaced once:
    /// Redis closes idle connections (`timeout`), restarts and fails over. Commands must therefore be safe to repeat.
    package func pipeline(_ commands: [RedisCommand]) throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        roundTrips += 1
        if connection != nil {
            do {
                return try send(commands)
            } catch .connectionLost {
                connection = nil
            }
        }
        let fresh = try RedisConnection(to: address, limits: limits)
        try fresh.logIn(address)
        connection = consume fresh
        return try send(commands)
    }

    private func send(_ commands: [RedisCommand]) throws(RedisError) -> [RedisValue] {
        do {
            guard let replies = try connection?.pipeline(commands) else {
                preconditionFailure("a pipeline is sent only on an open connection")
            }
            return replies
        } catch {
            connection = nil
            throw error
        }
    }
}
