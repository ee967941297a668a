/// Talks to one PostgreSQL and connects again when it has to. For one thread at a time.
package final class PostgresClient {
    package let address: PostgresAddress
    private let timeout: Duration
    private let connections: PostgresConnections
    private var lastTurn: ContinuousClock.Instant?

    /// - Parameter timeout: after which the kernel gives up a connection whose peer has vanished.
    package init(address: PostgresAddress, timeout: Duration) {
        self.address = address
        self.timeout = timeout
        connections = PostgresConnections.ofServer(at: address)
        connections.addClient(of: address)
    }

    deinit {
        connections.removeClient(of: address)
    }

    /// Runs `body` in one read-only transaction with a deadline.
    ///
    /// Names of functions, operators and types are PostgreSQL's own whatever the session's search path is; those of
    /// relations need their schema. Everything is set for the transaction, nothing for the session, so that a pooler in
    /// transaction mode (PgBouncer) may sit between. The server gives up a little before we do; where it cannot, the
    /// connection is dropped. A connection that was found dead after it had been idle is replaced once.
    ///
    /// - Parameter deadline: by when it must have ended, with the wait for a connection to be free and whatever connecting
    ///   takes.
    package func readOnly<Value>(
        until deadline: ContinuousClock.Instant,
        _ relations: ReadableRelations = .tables,
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        let time = Self.rounded(ContinuousClock.now.duration(to: deadline))
        let idle: PostgresConnection?
        do {
            idle = try connections.take(for: address, lastTurn: lastTurn, until: deadline)
        } catch {
            throw .crowded(address: address.redacted, after: time)
        }
        var kept: PostgresConnection?
        defer {
            connections.giveBack(kept)
            lastTurn = .now
        }
        if let idle {
            idle.timeout = time
            do {
                return try transaction(relations, on: idle, until: deadline, keptAs: &kept, body)
            } catch .connectionLost {
                idle.close()
            }
        }
        let new = try PostgresConnection(to: address, peerTimeout: timeout, timeout: time, until: deadline)
        return try transaction(relations, on: new, until: deadline, keptAs: &kept, body)
    }

    /// To tenths of a second, as errors tell it.
    private static func rounded(_ time: Duration) -> Duration {
        .milliseconds(Int64((time / .milliseconds(100)).rounded()) * 100)
    }

    /// - Parameter kept: gets the connection where it can be used again.
    private func transaction<Value>(
        _ relations: ReadableRelations,
        on connection: PostgresConnection,
        until deadline: ContinuousClock.Instant,
        keptAs kept: inout PostgresConnection?,
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        // The server would refuse to send what is not UTF-8; here such bytes are replaced.
        let encoding = connection.holdsPlainBytes ? "; SET LOCAL client_encoding = SQL_ASCII" : ""
        let transaction = PostgresTransaction(connection: connection, deadline: deadline)
        let statementTimeout = max(1, Int(ContinuousClock.now.duration(to: deadline) / .milliseconds(1)) * 9 / 10)
        let lockTimeout = max(1, statementTimeout / 2)
        _ = try transaction.query(
            """
            BEGIN TRANSACTION READ ONLY; \
            SET LOCAL statement_timeout = \(statementTimeout); \
            SET LOCAL lock_timeout = \(lockTimeout); \
            SET LOCAL timezone = 'UTC'; \
            SET LOCAL cursor_tuple_fraction = 1; \
            \(PostgresTransaction.safePath)\(relations.restriction)\(encoding)
            """
        )
        let value: Value
        do {
            value = try body(transaction)
        } catch {
            switch error {
            case .server, .missing, .unexpected:
                // The connection is sound: leave the failed transaction and keep it.
                _ = try transaction.query("ROLLBACK")
                kept = connection
            case .connect, .timeout, .connectionLost, .overLimit, .crowded: break
            }
            throw error
        }
        _ = try transaction.query("COMMIT")
        kept = connection
        return value
    }
}

/// What may be read in a transaction.
package enum ReadableRelations: Sendable {
    /// Tables, and the views that PostgreSQL itself has. The server refuses views and foreign tables of others, and tables with
    /// a policy that would apply: whatever these call runs with the rights of the role that reads them.
    case tables
    /// Whatever the role may read.
    case all

    /// The setting that refuses views came with PostgreSQL 12.20, 13.16, 14.13, 15.8, 16.4 and 17.
    /// Source: https://www.postgresql.org/docs/17/runtime-config-client.html
    fileprivate var restriction: String {
        let setting = "'restrict_nonsystem_relation_kind'"
        return switch self {
        case .all: ""
        case .tables:
            """
            ; SET LOCAL row_security = off; \
            SELECT CASE WHEN pg_catalog.current_setting(\(setting), true) IS NOT NULL \
            THEN pg_catalog.set_config(\(setting), 'view, foreign-table', true) END
            """
        }
    }
}

/// A running transaction.
package struct PostgresTransaction: ~Copyable {
    private let connection: PostgresConnection
    private let deadline: ContinuousClock.Instant

    fileprivate init(connection: PostgresConnection, deadline: ContinuousClock.Instant) {
        self.connection = connection
        self.deadline = deadline
    }

    /// Bytes that an answer may take unless more is expected.
    package static let usualMemory = 4 << 20
    /// For `rowsAtATime` rows, of which the longest have some 5 kB.
    private static let partMemory = 6 << 20

    /// Runs one statement with parameters ($1, $2, ...) and returns its rows.
    ///
    /// - Parameter memory: bytes that the rows may take together; beyond them the answer fails.
    package func query(
        _ sql: String,
        _ arguments: [String] = [],
        memory: Int = usualMemory
    ) throws(PostgresError) -> [PostgresRow] {
        try connection.query(sql, arguments, memory: memory, until: deadline)
    }

    /// Runs one statement with parameters and gives its rows to `body`, some at a time, until that returns false.
    package func forEachRow(
        of sql: String,
        _ arguments: [String] = [],
        _ body: (PostgresRow) -> Bool
    ) throws(PostgresError) {
        _ = try query("DECLARE found NO SCROLL CURSOR FOR \(sql)", arguments)
        var rows: [PostgresRow]
        repeat {
            rows = try query("FETCH \(Self.rowsAtATime) FROM found", memory: Self.partMemory)
            for row in rows where !body(row) {
                rows = []
                break
            }
        } while rows.count >= Self.rowsAtATime
        _ = try query("CLOSE found")
    }

    private static let rowsAtATime = 1000

    /// The error of a table that the catalogue does not have.
    package func missing(_ relation: String) -> PostgresError {
        .missing(address: connection.name, relation: relation)
    }

    /// The error of what is other than it must be.
    package func unexpected(_ problem: String) -> PostgresError {
        .unexpected(address: connection.name, problem: problem)
    }

    /// The schemas in which the session looks for tables, the first first.
    package func searchPath() throws(PostgresError) -> [String] {
        let schemas = try query(
            "SET LOCAL search_path TO DEFAULT; SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))"
        )
        _ = try query(Self.safePath)
        return schemas.compactMap { $0.text(0) }
    }

    /// Nobody but a superuser can make anything in the first, and in the other nothing that is called.
    fileprivate static let safePath = "SET LOCAL search_path = pg_catalog, pg_temp"
}
