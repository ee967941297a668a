/// Why Redis could not be asked. Every case names the address, never a secret.
package enum RedisError: Error, Equatable, CustomStringConvertible {
    case connect(address: String, cause: String)
    /// No agreement on TLS, whoever refused whom.
    case tls(address: String, cause: String)
    case authentication(address: String, cause: String)
    case timeout(address: String, after: Duration)
    case connectionLost(address: String, cause: String)
    case replyTooLarge(address: String, limit: Int)
    /// A server named an address that is not to be connected to, and nothing was.
    case notAllowed(address: String, origin: String)
    /// The server answered with an error where nothing can be done without the answer.
    case server(address: String, message: String)

    package var description: String {
        switch self {
        case .connect(let address, let cause):
            "connect to \(address): \(cause); check that Redis runs there and can be reached"
        case .tls(let address, let cause):
            "agree on TLS with \(address): \(cause)"
        case .authentication(let address, let cause):
            "log in to \(address): \(cause); check user, password and database number"
        case .timeout(let address, let limit):
            "wait for \(address): no answer within \(limit); Redis hangs or is overloaded"
        case .connectionLost(let address, let cause):
            "talk to \(address): \(cause); will connect again"
        case .replyTooLarge(let address, let limit):
            "read from \(address): the reply exceeds the limit of \(limit) bytes"
        case .notAllowed(let address, let origin):
            "connect to \(address): not done, since \(origin) and --redis.allowed-nodes does not allow it; nothing was sent there"
        case .server(let address, let message):
            "ask \(address): \(message)"
        }
    }

    /// Why none of several servers could be asked: one that is down says less than one that gave an answer.
    static func mostTelling(_ failures: [RedisError]) -> RedisError? {
        failures.last { failure in
            switch failure {
            case .connect, .timeout, .connectionLost: false
            default: true
            }
        } ?? failures.last
    }
}
