package import Postgres
package import Reading
internal import System

/// What a PostgreSQL tells of itself and of the role that asks.
package struct PostgresServerState: Equatable, Sendable {
    /// Such as `15.20`.
    package var version: String
    package var roundTrip: Duration
    /// The role that asks, quoted as in SQL.
    package var role: String
    package var isStandby: Bool
    /// Sessions of the database whose queries the role may not see. Beat's may be among them.
    package var hiddenSessions: Int

    package init(version: String, roundTrip: Duration, role: String, isStandby: Bool = false, hiddenSessions: Int = 0) {
        self.version = version
        self.roundTrip = roundTrip
        self.role = role
        self.isStandby = isStandby
        self.hiddenSessions = hiddenSessions
    }
}

/// Asks a PostgreSQL how it is.
package struct PostgresServerReader {
    private let client: PostgresClient

    package init(client: PostgresClient) {
        self.client = client
    }

    /// - Parameter deadline: when all that it asks must have been answered.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> PostgresServerState {
        do throws(PostgresError) { return try state(until: deadline) } catch { throw SourceError(error) }
    }

    private func state(until deadline: ContinuousClock.Instant) throws(PostgresError) -> PostgresServerState {
        try client.readOnly(until: deadline) { transaction throws(PostgresError) in
            let row = try transaction.query(Self.query).first
            let start = ContinuousClock.now
            _ = try transaction.query("SELECT 1")
            return PostgresServerState(
                // Packagers add words of their own.
                version: row?.text(Column.version)?.split(separator: " ").first.map { String($0).firstScalars(100) }
                    ?? "of no known version",
                roundTrip: start.duration(to: .now),
                role: row?.text(Column.role) ?? "the role",
                isStandby: row?.boolean(Column.isStandby) ?? false,
                hiddenSessions: row?.count(Column.hiddenSessions) ?? 0
            )
        }
    }

    private enum Column: Int, SelectedColumn {
        case version, role, isStandby, hiddenSessions

        var expression: String {
            switch self {
            case .version: "current_setting('server_version')"
            case .role: "quote_ident(current_user)"
            case .isStandby: "pg_is_in_recovery()"
            case .hiddenSessions:
                """
                (
                    SELECT count(*) FROM pg_catalog.pg_stat_activity
                    WHERE datname = current_database() AND query = '<insufficient privilege>'
                )
                """
            }
        }
    }

    private static let query = "SELECT \(Column.list(\.expression))"
}
