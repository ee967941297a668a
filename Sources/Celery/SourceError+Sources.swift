package import Postgres
package import Reading
package import Redis

// How the errors of sources are counted.

extension SourceError {
    package init(_ error: RedisError) {
        let reason: ErrorReason =
            switch error {
            case .connect, .tls: .connect
            case .authentication: .authentication
            case .timeout: .timeout
            case .connectionLost: .connectionLost
            case .replyTooLarge: .overLimit
            case .notAllowed: .notAllowed
            case .server(_, let message) where message.contains("WRONGTYPE"): .wrongType
            case .server(_, let message) where message.contains("NOPERM") || message.contains("NOAUTH"): .permission
            case .server: .server
            }
        self.init(reason, error.description)
    }

    package init(_ error: PostgresError) {
        let reason: ErrorReason =
            switch error {
            // libpq tells refused logins and refused connections apart only in words; the server's start with FATAL.
            case .connect(_, let cause) where cause.contains("FATAL") && cause.contains("authentication"):
                .authentication
            case .connect: .connect
            case .timeout, .crowded: .timeout
            case .connectionLost: .connectionLost
            case .overLimit: .overLimit
            case .server where error.isTimeout: .timeout
            case .server(_, PostgresError.State.insufficientPrivilege, _): .permission
            case .server, .missing, .unexpected: .server
            }
        self.init(reason, error.description)
    }
}

extension PostgresClient {
    /// `readOnly`, where nobody wants to know more of a failure than its source.
    func sourceReadOnly<Value>(
        until deadline: ContinuousClock.Instant,
        _ relations: ReadableRelations = .tables,
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(SourceError) -> Value {
        do throws(PostgresError) {
            return try readOnly(until: deadline, relations, body)
        } catch {
            throw SourceError(error)
        }
    }
}
