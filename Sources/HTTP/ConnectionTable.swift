internal import Passwords
internal import System
internal import TLS

/// One open connection, as its server sees it. It belongs to the server's thread; `login` and `response` belong to whoever works
/// them out while the connection is suspended.
final class HTTPConnection: @unchecked Sendable {
    let descriptor: CInt
    let client: ClientAddress
    /// What its TLS session needs for as long as it lasts.
    let tls: TLSContext?
    /// Milliseconds on the server's clock at which it last got somewhere: began, asked, was answered.
    fileprivate(set) var lastStep: UInt64
    /// Milliseconds on the server's clock by which it must take its next step.
    fileprivate(set) var deadline: UInt64
    /// It was cut off, and ends as soon as libmicrohttpd sees that.
    fileprivate(set) var isCut = false
    fileprivate var index = 0
    /// Of its present request, whose head has perhaps not come whole.
    var target: RequestTarget?
    /// What became of the password of its present request, once that is known.
    var login: LoginOutcome?
    /// The answer to its present request, where it has waited for that.
    var response: HTTPResponse?

    init(descriptor: CInt, client: ClientAddress, tls: TLSContext? = nil) {
        self.descriptor = descriptor
        self.client = client
        self.tls = tls
        lastStep = 0
        deadline = 0
    }
}

/// The open connections of a server, and which of them must go: those that are over their time, and, where there are too
/// many, those that have got nowhere for the longest time. Single bytes are no step: a client that sends or reads a byte
/// a second gets nowhere. Times are milliseconds on any clock that only goes forward.
struct ConnectionTable {
    private let limits: HTTPLimits
    private var connections: [HTTPConnection] = []

    init(limits: HTTPLimits) {
        self.limits = limits
    }

    var count: Int { connections.count }

    /// Notes that a connection has begun.
    /// - Returns: one that was cut off for it, for the caller to close.
    mutating func begin(_ connection: HTTPConnection, at now: UInt64) -> HTTPConnection? {
        connection.lastStep = now
        connection.deadline = now + UInt64(limits.requestSeconds) * 1000
        connection.index = connections.count
        connections.append(connection)
        guard connections.count > min(limits.connections, limits.connectionsPerAddress) else { return nil }
        var (count, ofAddress) = (0, 0)
        var oldest: HTTPConnection?
        var oldestOfAddress: HTTPConnection?
        for other in connections where !other.isCut {
            count += 1
            if other.lastStep < oldest?.lastStep ?? .max { oldest = other }
            guard other.client == connection.client else { continue }
            ofAddress += 1
            if other.lastStep < oldestOfAddress?.lastStep ?? .max { oldestOfAddress = other }
        }
        let victim =
            ofAddress > limits.connectionsPerAddress ? oldestOfAddress : count > limits.connections ? oldest : nil
        victim?.isCut = true
        return victim
    }

    /// Notes that the first line of a request has come.
    func receiveRequestLine(of connection: HTTPConnection, at now: UInt64) {
        connection.deadline = min(connection.deadline, now + UInt64(limits.requestSeconds) * 1000)
    }

    /// Notes that a request has come whole and is being answered.
    func beginAnswer(to connection: HTTPConnection, at now: UInt64) {
        connection.lastStep = now
        connection.deadline = now + UInt64(limits.responseSeconds) * 1000
    }

    /// Notes that an answer has been sent.
    func endAnswer(to connection: HTTPConnection, at now: UInt64) {
        connection.lastStep = now
        connection.deadline = now + UInt64(limits.idleSeconds) * 1000
    }

    /// Forgets a connection that has ended.
    mutating func end(_ connection: HTTPConnection) {
        guard let last = connections.popLast(), last !== connection else { return }
        connections[connection.index] = last
        last.index = connection.index
    }

    /// When the next connection is over its time; nil where none will be.
    var nextDeadline: UInt64? { connections.lazy.filter { !$0.isCut }.map(\.deadline).min() }

    /// Cuts off the connections that are over their time and returns them, for the caller to close.
    func cutOverdue(at now: UInt64) -> [HTTPConnection] {
        let overdue = connections.filter { !$0.isCut && $0.deadline <= now }
        for connection in overdue { connection.isCut = true }
        return overdue
    }
}
