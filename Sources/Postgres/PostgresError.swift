/// Why PostgreSQL could not be asked. Every case names the address, never a secret.
package enum PostgresError: Error, Equatable, CustomStringConvertible {
    case connect(address: String, cause: String)
    case timeout(address: String, after: Duration)
    case connectionLost(address: String, cause: String)
    /// The server refused a statement. `state` is its SQLSTATE, for example `42P01` for a missing table.
    /// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
    case server(address: String, state: String, message: String)

    package var description: String {
        switch self {
        case .connect(let address, let cause):
            "connect to \(address): \(cause)"
        case .timeout(let address, let limit):
            "wait for \(address): no answer within \(limit); it hangs, is overloaded or waits for a lock"
        case .connectionLost(let address, let cause):
            "talk to \(address): \(cause); will connect again"
        case .server(let address, let state, let message):
            "query \(address): \(message) (SQLSTATE \(state))"
        }
    }
}
