internal import Celery
internal import Collection
internal import Postgres
internal import Redis
internal import Status

/// A server as it was found.
enum ServerState: Equatable, Sendable {
    case redis(RedisServerState)
    case postgres(PostgresServerState)

    var redis: RedisServerState? {
        if case .redis(let state) = self { return state }
        return nil
    }

    var postgres: PostgresServerState? {
        if case .postgres(let state) = self { return state }
        return nil
    }
}

extension Finding {
    /// Of a server that answers.
    ///
    /// - Parameter address: without user and password.
    init(_ subject: String, _ address: String, _ server: ServerState) {
        switch server {
        case .redis(let state):
            let version = state.version ?? "of no known version, as INFO is not permitted"
            let answer = "\(address): \(version), answers in \(Self.milliseconds(state.roundTrip))"
            self =
                state.isReplica
                ? Finding(
                    .warning,
                    subject,
                    "\(address) is a replica, which may be behind",
                    ["give the address of the primary", answer],
                    cause: .server
                )
                : Finding(.ok, subject, answer)
        case .postgres(let state):
            let standby = state.isStandby ? ", a standby" : ""
            let answer =
                "PostgreSQL \(state.version)\(standby), answers \(state.role) in \(Self.milliseconds(state.roundTrip))"
            self = Finding(.ok, subject, "\(address): \(answer)")
        }
    }

    private static func milliseconds(_ duration: Duration) -> String {
        let tenths = Int((duration / .microseconds(100)).rounded())
        return tenths == 0 ? "under 0.1 ms" : "\(tenths / 10).\(tenths % 10) ms"
    }
}
