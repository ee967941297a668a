internal import System
internal import TLS

/// The master that sentinels watch, wherever it is at the moment.
///
/// Source: Redis's "Guidelines for Redis clients with support for Redis Sentinel".
final class SentinelMaster: RedisTopology {
    private let sentinels: RedisSentinels
    private let connector: RedisConnector
    /// For the sentinels themselves, which have accounts of their own.
    private let sentinelConnector: RedisConnector
    /// The one that answered last comes first.
    private var endpoints: [RedisEndpoint]
    private var connection = KeptConnection()
    private(set) var roundTrips = 0

    init(_ sentinels: RedisSentinels, connector: RedisConnector) {
        self.sentinels = sentinels
        self.connector = connector
        var address = connector.address
        (address.user, address.password, address.database) = (sentinels.user, sentinels.password, 0)
        if let usesTLS = sentinels.usesTLS { address.tls = usesTLS ? address.tls ?? TLSClientConfiguration() : nil }
        sentinelConnector = RedisConnector(address: address, limits: connector.limits)
        endpoints = sentinels.endpoints
    }

    /// Each pipeline asks for the server's role too, in the same round trip: a master that was demoted by hand keeps its
    /// connections, and would go on answering with what it copies.
    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue] {
        for _ in 0..<2 {
            roundTrips += 1
            let replies = try connection.pipeline([Self.role] + commands, until: deadline) { () throws(RedisError) in
                try findMaster(until: deadline)
            }
            if try isMaster(replies[0]) { return Array(replies.dropFirst()) }
            connection.drop()
        }
        throw .server(address: connector.address.redacted, message: "the master changes faster than it can be found")
    }

    // MARK: Finding the master

    private static let role = RedisCommand("ROLE")

    /// Asks the sentinels in turn; the first that names a server which is a master indeed ends the search.
    private func findMaster(until deadline: Deadline) throws(RedisError) -> RedisConnection {
        var failures: [RedisError] = []
        for (index, sentinel) in endpoints.enumerated() {
            do throws(RedisError) {
                let share = deadline.share(amongst: endpoints.count - index)
                let master = try connectToMaster(knownTo: sentinel, until: share)
                endpoints.remove(at: index)
                endpoints.insert(sentinel, at: 0)
                return master
            } catch {
                failures.append(error)
            }
        }
        throw RedisError.mostTelling(failures)
            ?? .connect(address: connector.address.redacted, cause: "no sentinel is given")
    }

    private func connectToMaster(
        knownTo sentinel: RedisEndpoint,
        until deadline: Deadline
    ) throws(RedisError) -> RedisConnection {
        let place = try ask(sentinel, until: deadline.share(amongst: 2))
        let server = try connector.connect(to: place, namedBy: "the sentinel \(sentinel.text)", until: deadline)
        guard try isMaster(try server.pipeline([Self.role], until: deadline)[0]) else {
            throw .server(
                address: server.name,
                message: "it is no master, although the sentinel \(sentinel.text) says so; a failover may be under way"
            )
        }
        return server
    }

    /// Where the sentinel believes the master to be.
    private func ask(_ sentinel: RedisEndpoint, until deadline: Deadline) throws(RedisError) -> RedisEndpoint {
        let connection = try sentinelConnector.connect(to: sentinel, until: deadline)
        let command = RedisCommand("SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.master)
        let reply = try connection.pipeline([command], until: deadline)[0]
        if let error = reply.error { throw .server(address: connection.name, message: error) }
        guard let parts = reply.array, parts.count == 2, let host = parts[0].text,
            let port = parts[1].integer.flatMap({ UInt16(exactly: $0) }),
            let master = RedisEndpoint(announcedHost: host, port: port)
        else {
            throw .server(
                address: connection.name,
                message: "the sentinel knows no master named \(sentinels.master); give the name it is monitored by"
            )
        }
        return master
    }

    private func isMaster(_ role: RedisValue) throws(RedisError) -> Bool {
        guard let name = role.array?.first?.text else {
            throw .server(address: connector.address.redacted, message: "ROLE: \(role.error ?? "no role")")
        }
        return name == "master"
    }
}
