/// Talks to one PostgreSQL and connects again when it has to. For one thread at a time.
package final class PostgresClient {
    package let address: PostgresAddress
    private let timeout: Duration
    private var connection: PostgresConnection?

    /// - Parameter timeout: the time one connection attempt, and one transaction as a whole, may take.
    package init(address: PostgresAddress, timeout: Duration) {
        self.address = address
        self.timeout = timeout
    }

    /// Runs `body` in one read-only transaction with a deadline.
    ///
    /// Everything is set for the transaction, nothing for the session, so that a pooler in transaction mode (PgBouncer)
    /// may sit between. The server gives up a little before we do; where it cannot, the query is cancelled and the
    /// connection dropped. A connection that was found dead after it had been idle is replaced once.
    package func readOnly<Value>(
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        if connection != nil {
            do {
                return try transaction(body)
            } catch .connectionLost {
                connection = nil
            }
        }
        connection = try PostgresConnection(to: address, timeout: timeout)
        return try transaction(body)
    }

    private func transaction<Value>(
        _ body: (borrowing PostgresTransaction) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        guard let opened = connection.take() else {
            preconditionFailure("a transaction begins only on an open connection")
        }
        // The server would refuse to send what is not UTF-8; here such bytes are replaced.
        let encoding = opened.holdsPlainBytes ? "; SET LOCAL client_encoding = SQL_ASCII" : ""
        let transaction = PostgresTransaction(connection: opened, deadline: ContinuousClock.now + timeout)
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
            connection = transaction.end()
            throw .server(address: address, state: state, message: message)
        }
        _ = try transaction.query("COMMIT")
        connection = transaction.end()
        return value
    }
}

/// A running transaction. Dropping it instead of ending it closes the connection, which rolls it back.
package struct PostgresTransaction: ~Copyable {
    private let connection: PostgresConnection
    private let deadline: ContinuousClock.Instant

    fileprivate init(connection: consuming PostgresConnection, deadline: ContinuousClock.Instant) {
        self.connection = connection
        self.deadline = deadline
    }

    /// Runs one statement with parameters ($1, $2, ...) and returns its rows.
    package func query(_ sql: String, _ arguments: [String] = []) throws(PostgresError) -> [PostgresRow] {
        try connection.query(sql, arguments, until: deadline)
    }

    fileprivate consuming func end() -> PostgresConnection {
        connection
    }
}
