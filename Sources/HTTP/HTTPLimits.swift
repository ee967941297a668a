/// Bounds on what the clients of one server may take. Connections are not refused at a bound: the one that has got nowhere
/// for the longest time is cut off for the new one, so that a scrape always gets in.
package struct HTTPLimits: Equatable, Sendable {
    package var connections = 512
    /// Of those that were cut off, which take a moment to end.
    package var endingConnections = 64
    /// Of one address, which for IPv6 is a network of 64 bits.
    package var connectionsPerAddress = 256
    /// Bytes of memory for one connection: headers that do not fit are refused with 431.
    package var connectionBytes = 16 << 10
    /// Bytes that the kernel keeps of answers which a client is slow to fetch (and as many again for its own ends). By
    /// itself it would keep megabytes for each.
    package var unsentBytes = 128 << 10
    /// Bytes of one answer's body; a larger one is not sent.
    package var responseBytes = 64 << 20
    /// Seconds from the beginning of a connection (with TLS: of its handshake) until a request with all its headers has
    /// come; on a connection that goes on, from the request's first line.
    package var requestSeconds = 10
    /// Seconds a client may take to fetch an answer.
    package var responseSeconds = 30
    /// Seconds from one answer to the next request. More than a minute, which is the longest usual scrape interval.
    package var idleSeconds = 90

    package init() {}

    /// The limits of each of several servers of one process, which together open no more than so many descriptors.
    package func shared(amongst servers: Int, descriptors: Int) -> HTTPLimits {
        let servers = max(servers, 1)
        let descriptors = max(descriptors / servers, 4)
        var limits = self
        limits.endingConnections = min(endingConnections, descriptors / 4)
        limits.connections = min(connections / servers, descriptors - limits.endingConnections)
        limits.connectionsPerAddress = max(min(connectionsPerAddress / servers, limits.connections / 2), 1)
        return limits
    }
}
