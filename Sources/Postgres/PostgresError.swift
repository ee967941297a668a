/// Why PostgreSQL could not be asked. Every case names the address, never a secret.
package enum PostgresError: Error, Equatable, CustomStringConvertible {
    case connect(address: String, cause: String)
    case timeout(address: String, after: Duration)
    case connectionLost(address: String, cause: String)
    /// The server sends more than is read, of which `limit` tells how much that is.
    case overLimit(address: String, limit: String)
    /// All connections that one server gets were in use by other collections.
    case crowded(address: String, after: Duration)
    /// The server refused a statement. `state` is its SQLSTATE, one of `State` where it matters.
    case server(address: String, state: String, message: String)
    /// A table that is to be read is not there.
    case missing(address: String, relation: String)
    /// What is there is not what is read.
    case unexpected(address: String, problem: String)

    /// SQLSTATEs that tell what to do.
    /// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
    package enum State {
        package static let insufficientPrivilege = "42501"
        static let undefinedTable = "42P01"
        static let queryCanceled = "57014"
        static let lockNotAvailable = "55P03"
    }

    /// Whether the server or we gave up waiting: for an answer, for `statement_timeout`, for a lock.
    package var isTimeout: Bool {
        switch self {
        case .timeout, .crowded, .server(_, State.queryCanceled, _), .server(_, State.lockNotAvailable, _): true
        case .connect, .connectionLost, .overLimit, .server, .missing, .unexpected: false
        }
    }

    /// Whether a table that was to be read is not there.
    package var isMissingRelation: Bool {
        switch self {
        case .missing, .server(_, State.undefinedTable, _): true
        default: false
        }
    }

    package var description: String {
        switch self {
        case .connect(let address, let cause):
            "connect to \(address): \(cause)"
        case .timeout(let address, let limit):
            "wait for \(address): no answer within \(limit); it hangs, is overloaded or waits for a lock"
        case .connectionLost(let address, let cause):
            "talk to \(address): \(cause); will connect again"
        case .overLimit(let address, let limit):
            "talk to \(address): it sends more than \(limit), and is not read further"
        case .crowded(let address, let limit):
            "wait for a connection to \(address): none was free within \(limit); the exporter holds at most "
                + "\(PostgresConnections.maximum) to one server, so there are too many targets for "
                + "--collect.interval, or the server is slow"
        case .server(let address, let state, let message):
            "query \(address): SQLSTATE \(state): \(message)"
        case .missing(let address, let relation):
            "read \(address): relation \"\(relation)\" does not exist"
        case .unexpected(let address, let problem):
            "read \(address): \(problem)"
        }
    }
}
