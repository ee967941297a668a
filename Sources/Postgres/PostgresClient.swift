/// Talks to one PostgreSQL and connects again when it has to. For one thread at a time.
package final class PostgresClient {
    package let address: PostgresAddress
    private let timeout: Duration
    private let connections: PostgresConnections
    private var lastTurn: ContinuousClock.Instant?

    /// - Parameter timeout: the time that waiting for a connection to be free, one connection attempt, and one transaction as
    ///   a whole may each take.
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
    /// Everything is set for the transaction, nothing for the session, so that a pooler in transaction mode (PgBouncer)
    /// may sit between. The server gives up a little before we do; where it cannot, the connection is dropped. A connection
    /// that was found dead after it had been idle is replaced once.
    package func readOnly<Value>(
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        let idle: PostgresConnection?
        do {
            idle = try connections.take(for: address, lastTurn: lastTurn, until: .now + timeout)
        } catch {
            throw .crowded(address: address.redacted, after: timeout)
        }
        var kept: PostgresConnection?
        defer {
            connections.giveBack(kept)
            lastTurn = .now
        }
        if let idle {
            do {
                return try transaction(on: idle, keptAs: &kept, body)
            } catch .connectionLost {
                idle.close()
            }
        }
        return try transaction(on: PostgresConnection(to: address, timeout: timeout), keptAs: &kept, body)
    }

    /// - Parameter kept: gets the connection where it can be used again.
    private func transaction<Value>(
        on connection: PostgresConnection,
        keptAs kept: inout PostgresConnection?,
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        // The server would refuse to send what is not UTF-8; here such bytes are replaced.
        let encoding = connection.holdsPlainBytes ? "; SET LOCAL client_encoding = SQL_ASCII" : ""
        let transaction = PostgresTransaction(connection: connection, deadline: ContinuousClock.now + timeout)
        let statementTimeout = max(1, Int(timeout / .milliseconds(1)) * 9 / 10)
        let lockTimeout = max(1, statementTimeout / 2)
        _ = try transaction.query(
            """
            BEGIN TRANSACTION READ ONLY; \
            SET LOCAL statement_timeout = \(statementTimeout); \
            SET LOCAL lock_timeout = \(lockTimeout); \
            SET LOCAL timezone = 'UTC'\(encoding)
            """
        )
        let value: Value
        do {
            value = try body(transaction)
        } catch .server(let address, let state, let message) {
            // The connection is sound: leave the failed transaction and keep it.
            _ = try transaction.query("ROLLBACK")
            kept = connection
            throw .server(address: address, state: state, message: message)
        }
        _ = try transaction.query("COMMIT")
        kept = connection
        return value
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
    /// For an answer of up to 100,000 rows.
    package static let largeMemory = 20 << 20

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
}
