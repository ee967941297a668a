internal import System

/// Somebody who waits for a connection, and what comes of it, under the lock of the `PostgresConnections`.
final class ConnectionWait: @unchecked Sendable {
    let address: PostgresAddress
    /// When it was last served; nil when never.
    let lastTurn: ContinuousClock.Instant?
    private(set) var isOver = false
    /// What it got; nil for the right to open one. Read when `isOver`.
    private(set) var connection: PostgresConnection?
    private let ended = Event()

    init(for address: PostgresAddress, lastTurn: ContinuousClock.Instant?) {
        self.address = address
        self.lastTurn = lastTurn
    }

    func end(with connection: PostgresConnection?) {
        isOver = true
        self.connection = connection
        ended.raise()
    }

    /// Until it is over, or the time is. Without the lock.
    func sleep(until deadline: ContinuousClock.Instant) {
        _ = ended.wait(until: deadline)
    }
}
