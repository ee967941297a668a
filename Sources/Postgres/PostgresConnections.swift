internal import Synchronization

/// The connections to one server, for all that is watched there: few, since a server has a fixed number, and most of them are
/// the applications' own.
///
/// Who finds all of them in use waits for its turn. A connection goes first to those who wait for one with the same address,
/// so that what is watched of one application costs one login; else it is closed, and whoever was served longest ago opens
/// another.
final class PostgresConnections: Sendable {
    /// To one server at a time. A PostgreSQL takes 100 from everybody together unless `max_connections` says otherwise.
    static let maximum = 10

    /// What has been idle for so long while others were used was needed for a moment only.
    private static let surplusAge = Duration.seconds(30)

    private struct Idle {
        let connection: PostgresConnection
        let since: ContinuousClock.Instant

        var address: PostgresAddress { connection.address }
    }

    private struct State {
        /// In use, idle, or about to be opened.
        var count = 0
        /// The one used last is the last, and is used next.
        var idle: [Idle] = []
        var waiting: [ConnectionWait] = []
        /// Clients of each address.
        var clients: [PostgresAddress: Int] = [:]
    }

    private let state = Mutex(State())

    // MARK: Servers

    private struct WeakConnections {
        weak var connections: PostgresConnections?
    }

    private static let servers = Mutex<[String: WeakConnections]>([:])

    /// Those to the server of an address. They last as long as anybody holds them.
    static func ofServer(at address: PostgresAddress) -> PostgresConnections {
        servers.withLock { servers in
            if let connections = servers[address.server]?.connections { return connections }
            servers = servers.filter { $0.value.connections != nil }
            let connections = PostgresConnections()
            servers[address.server] = WeakConnections(connections: connections)
            return connections
        }
    }

    // MARK: Clients

    func addClient(of address: PostgresAddress) {
        state.withLock { $0.clients[address, default: 0] += 1 }
    }

    /// Closes what nobody will use again.
    func removeClient(of address: PostgresAddress) {
        let unused: [PostgresConnection] = state.withLock { state in
            let others = (state.clients[address] ?? 1) - 1
            state.clients[address] = others > 0 ? others : nil
            guard others <= 0 else { return [] }
            let unused = state.idle.filter { $0.address == address }.map(\.connection)
            state.idle.removeAll { $0.address == address }
            return unused
        }
        for connection in unused { closeAndPassOn(connection) }
    }

    // MARK: Turns

    /// Waits for the right to use a connection, which ends with `giveBack`.
    ///
    /// - Parameter lastTurn: when the client had its last one; nil when it had none.
    /// - Returns: an idle connection, or nil for the right to open one.
    func take(
        for address: PostgresAddress,
        lastTurn: ContinuousClock.Instant?,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresConnectionsCrowded) -> PostgresConnection? {
        enum Turn {
            case now(PostgresConnection?)
            case instead(of: PostgresConnection)
            case later(ConnectionWait)
        }
        let turn: Turn = state.withLock { state in
            if let index = state.idle.lastIndex(where: { $0.address == address }) {
                return .now(state.idle.remove(at: index).connection)
            }
            if state.count < Self.maximum {
                state.count += 1
                return .now(nil)
            }
            if !state.idle.isEmpty { return .instead(of: state.idle.removeFirst().connection) }
            let wait = ConnectionWait(for: address, lastTurn: lastTurn)
            state.waiting.append(wait)
            return .later(wait)
        }
        switch turn {
        case .now(let connection): return connection
        case .instead(let other):
            other.close()
            return nil
        case .later(let wait):
            wait.sleep(until: deadline)
            return try state.withLock { state throws(PostgresConnectionsCrowded) in
                if wait.isOver { return wait.connection }
                state.waiting.removeAll { $0 === wait }
                throw PostgresConnectionsCrowded()
            }
        }
    }

    /// Ends a turn.
    ///
    /// - Parameter connection: nil where there is none that can be used again.
    func giveBack(_ connection: PostgresConnection?) {
        let (isHandedOn, surplus) = state.withLock { state -> (Bool, [PostgresConnection]) in
            guard let connection else { return (false, []) }
            if let index = Self.next(of: state.waiting, for: connection.address) {
                state.waiting.remove(at: index).end(with: connection)
                return (true, [])
            }
            guard state.waiting.isEmpty, state.clients[connection.address] != nil else { return (false, []) }
            func isSurplus(_ idle: Idle) -> Bool {
                idle.address == connection.address && idle.since + Self.surplusAge < .now
            }
            let surplus = state.idle.filter(isSurplus).map(\.connection)
            state.idle.removeAll(where: isSurplus)
            state.idle.append(Idle(connection: connection, since: .now))
            return (true, surplus)
        }
        for other in surplus { closeAndPassOn(other) }
        if isHandedOn { return }
        closeAndPassOn(connection)
    }

    /// Closes a connection before somebody may open another in its place.
    private func closeAndPassOn(_ connection: PostgresConnection?) {
        connection?.close()
        state.withLock { state in
            if let index = Self.next(of: state.waiting, for: nil) {
                state.waiting.remove(at: index).end(with: nil)
            } else {
                state.count -= 1
            }
        }
    }

    /// Who was served longest ago, of those who wait for an address; of all where it is nil.
    private static func next(of waiting: [ConnectionWait], for address: PostgresAddress?) -> Int? {
        waiting.indices.filter { address == nil || waiting[$0].address == address }.min {
            guard let one = waiting[$0].lastTurn else { return waiting[$1].lastTurn != nil }
            return waiting[$1].lastTurn.map { one < $0 } ?? false
        }
    }
}

/// There was no turn in time.
struct PostgresConnectionsCrowded: Error {}
