/// Why PostgreSQL could not be asked. Every case names the address, never a secret.
package enum PostgresError: Error, Equatable, CustomStringConvertible {
    case connect(address: String, cause: String)
    case timeout(address: String, after: Duration)
    case connectionLost(address: String, cause: String)
    /// The server refused a statement. `state` is its SQLSTATE, one of `State` where it matters.
    case server(address: String, state: String, message: String)

    /// SQLSTATEs that tell what to do.
    /// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
    package enum State {
        package static let insufficientPrivilege = "42501"
        package static let datetimeOverflow = "22008"
        package static let undefinedColumn = "42703"
        package static let undefinedTable = "42P01"
        package static let wrongObjectType = "42809"
        static let queryCanceled = "57014"
        static let lockNotAvailable = "55P03"
    }

    /// Whether the server or we gave up waiting: for an answer, for `statement_timeout`, for a lock.
    package var isTimeout: Bool {
        switch self {
        case .timeout, .server(_, State.queryCanceled, _), .server(_, State.lockNotAvailable, _): true
        case .connect, .connectionLost, .server: false
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
        case .server(let address, let state, let message):
            "query \(address): SQLSTATE \(state): \(message)"
        }
    }
}
