internal import System

/// A way to the servers of one address. For one thread at a time.
protocol RedisTopology: AnyObject {
    /// Sends the commands and returns their replies in order.
    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue]
    /// Round trips since the start, without those that finding a server and logging in took.
    var roundTrips: Int { get }
}

/// Opens connections to the servers of one address.
struct RedisConnector {
    let address: RedisAddress
    let limits: RedisLimits

    /// A connection that is logged in.
    ///
    /// - Parameter origin: who named the server where it was not the address, as the beginning of a sentence.
    func connect(
        to endpoint: RedisEndpoint,
        namedBy origin: String? = nil,
        until deadline: Deadline
    ) throws(RedisError) -> RedisConnection {
        guard address.allows(endpoint) else {
            throw .notAllowed(
                address: address.redacted(endpoint),
                origin: "\(origin ?? "a server") names this address"
            )
        }
        let connection = try RedisConnection(
            to: endpoint,
            name: address.redacted(endpoint),
            tls: address.tls,
            limits: limits,
            until: deadline
        )
        do {
            try connection.logIn(
                user: address.user,
                password: address.password,
                database: address.database,
                until: deadline
            )
        } catch .connectionLost(let name, let cause) {
            // Nothing told the reason: each end may have wanted another kind of conversation.
            throw address.tls == nil
                ? .connect(
                    address: name,
                    cause: "\(cause) before the first answer; if it speaks TLS write rediss:// or "
                        + "?ssl_cert_reqs=required"
                )
                : .tls(address: name, cause: "\(cause) after the handshake; the server may want a client certificate")
        }
        return connection
    }
}

/// A connection that is kept from one pipeline to the next.
struct KeptConnection {
    private var connection: RedisConnection?

    /// Sends the commands over the connection, which `open` makes where there is none.
    ///
    /// One that was found dead although it had been idle since the last pipeline is replaced once: Redis closes idle
    /// connections (`timeout`), restarts and fails over. Commands must therefore be safe to repeat.
    mutating func pipeline(
        _ commands: [RedisCommand],
        until deadline: Deadline,
        open: () throws(RedisError) -> RedisConnection
    ) throws(RedisError) -> [RedisValue] {
        if let kept = connection.take() {
            do {
                let replies = try kept.pipeline(commands, until: deadline)
                connection = kept
                return replies
            } catch .connectionLost {}
        }
        let fresh = try open()
        let replies = try fresh.pipeline(commands, until: deadline)
        connection = fresh
        return replies
    }

    mutating func drop() {
        connection = nil
    }
}

/// One server at a known place.
final class SingleServer: RedisTopology {
    private let endpoint: RedisEndpoint
    private let connector: RedisConnector
    private var connection = KeptConnection()
    private(set) var roundTrips = 0

    init(at endpoint: RedisEndpoint, connector: RedisConnector) {
        self.endpoint = endpoint
        self.connector = connector
    }

    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue] {
        roundTrips += 1
        let replies = try connection.pipeline(commands, until: deadline) { () throws(RedisError) in
            try connector.connect(to: endpoint, until: deadline)
        }
        // Only nodes of a cluster say so (Redis Cluster specification, "MOVED Redirection").
        if let moved = replies.lazy.compactMap(\.error).first(where: { $0.hasPrefix("MOVED ") }) {
            let parameter = connector.address.tls == nil ? "" : " and ?ssl_cert_reqs=required"
            throw .server(
                address: connector.address.redacted,
                message: "\(moved): it is a node of a Redis Cluster; write redis-cluster://\(parameter) in its URL"
            )
        }
        return replies
    }
}
