internal import System

/// The nodes of a Redis Cluster, each asked for the keys it holds.
///
/// Source: Redis Cluster specification.
final class RedisCluster: RedisTopology {
    private let connector: RedisConnector
    /// The nodes that the address names.
    private let startingNodes: [RedisEndpoint]
    private var slots = ClusterSlots()
    /// Whether the slots must be read before the next pipeline.
    private var isStale = true
    private var connections: [RedisEndpoint: KeptConnection] = [:]
    private(set) var roundTrips = 0

    /// Times that one pipeline follows redirections, or looks for the node that takes over from a dead one.
    private static let maximumRedirections = 5
    /// Nodes that are asked for the slots before that is given up.
    private static let maximumSources = 5

    init(startingAt nodes: [RedisEndpoint], connector: RedisConnector) {
        startingNodes = nodes
        self.connector = connector
    }

    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue] {
        if isStale { try readSlots(until: deadline) }
        let home = commands.lazy.compactMap(\.key).first.map(HashSlot.of) ?? 0
        let slotOfCommand = commands.map { $0.key.map(HashSlot.of) ?? home }
        var replies: [RedisValue?] = Array(repeating: nil, count: commands.count)
        /// Commands to send, and where to ask for those that are on their way.
        var pending = Set(commands.indices)
        var asked: [Int: RedisEndpoint] = [:]

        for _ in 0...Self.maximumRedirections {
            /// A node that knows a new owner, but not how that one is reached.
            var informant: RedisEndpoint?
            var movedSlots: Set<Int> = []
            let batches = try batches(of: pending, asked: asked, slotOfCommand: slotOfCommand)
            pending = []
            for (node, indices) in batches {
                let answers: [RedisValue]
                do {
                    answers = try send(indices.map { (commands[$0], asked[$0] != nil) }, to: node, until: deadline)
                } catch {
                    try findSuccessor(of: node, slot: slotOfCommand[indices[0]], after: error, until: deadline)
                    pending.formUnion(indices)
                    for index in indices { asked[index] = nil }
                    continue
                }
                for (index, answer) in zip(indices, answers) {
                    asked[index] = nil
                    switch Redirection(answer, from: node) {
                    case nil: replies[index] = answer
                    case .ask(let other):
                        asked[index] = other
                        pending.insert(index)
                    case .moved(let slot, let owner):
                        if let owner { slots.setOwner(of: slot, to: owner) } else { informant = node }
                        isStale = true
                        movedSlots.insert(slot)
                    }
                }
            }
            if !movedSlots.isEmpty {
                // Also those without a key, which belong to the others of their slot.
                pending.formUnion(commands.indices.filter { movedSlots.contains(slotOfCommand[$0]) })
            }
            if pending.isEmpty { return replies.map { $0 ?? .null } }
            if let informant { try readSlots(askingFirst: informant, until: deadline) }
        }
        throw .server(
            address: connector.address.redacted,
            message: "more than \(Self.maximumRedirections) redirections; slots may be on the move"
        )
    }

    /// Who gets which commands, in the order in which the nodes first appear.
    private func batches(
        of pending: Set<Int>,
        asked: [Int: RedisEndpoint],
        slotOfCommand: [Int]
    ) throws(RedisError) -> [(node: RedisEndpoint, indices: [Int])] {
        var batches: [(node: RedisEndpoint, indices: [Int])] = []
        var places: [RedisEndpoint: Int] = [:]
        for index in pending.sorted() {
            guard let node = asked[index] ?? slots.owner(of: slotOfCommand[index]) else {
                isStale = true
                throw .server(
                    address: connector.address.redacted,
                    message: "nobody is known to serve slot \(slotOfCommand[index]); see CLUSTER INFO and CLUSTER SLOTS"
                )
            }
            if let place = places[node] {
                batches[place].indices.append(index)
            } else {
                places[node] = batches.count
                batches.append((node, [index]))
            }
        }
        return batches
    }

    /// Sends commands to one node, those that it was asked for as a guest with ASKING before them.
    private func send(
        _ commands: [(command: RedisCommand, asksAsGuest: Bool)],
        to node: RedisEndpoint,
        until deadline: Deadline
    ) throws(RedisError) -> [RedisValue] {
        roundTrips += 1
        // Slots on the way may lead to ever new nodes.
        if connections[node] == nil, connections.count >= ClusterSlots.maximumNodes { connections = [:] }
        let request = commands.flatMap { $0.asksAsGuest ? [RedisCommand("ASKING"), $0.command] : [$0.command] }
        let answers = try connections[node, default: KeptConnection()].pipeline(request, until: deadline) {
            () throws(RedisError) in try connect(to: node, until: deadline)
        }
        var rest = answers[...]
        return commands.compactMap { command in
            if command.asksAsGuest { rest.removeFirst() }
            return rest.popFirst()
        }
    }

    /// Connects; an error says so if the address stands in no setting.
    private func connect(to node: RedisEndpoint, until deadline: Deadline) throws(RedisError) -> RedisConnection {
        do {
            return try connector.connect(to: node, namedBy: "the cluster", until: deadline)
        } catch {
            guard !startingNodes.contains(node) else { throw error }
            let origin = "the cluster announces this address, see CLUSTER SLOTS"
            switch error {
            case .connect(let address, let cause): throw .connect(address: address, cause: "\(cause); \(origin)")
            case .tls(let address, let cause): throw .tls(address: address, cause: "\(cause); \(origin)")
            default: throw error
            }
        }
    }

    // MARK: The slots

    /// Reads the slots again because a node cannot be reached; throws why where it still is the slot's owner.
    private func findSuccessor(
        of node: RedisEndpoint,
        slot: Int,
        after failure: RedisError,
        until deadline: Deadline
    ) throws(RedisError) {
        isStale = true
        switch failure {
        case .connect, .connectionLost: break
        default: throw failure
        }
        try readSlots(until: deadline)
        if slots.owner(of: slot) == node {
            isStale = true
            throw failure
        }
    }

    private func readSlots(askingFirst first: RedisEndpoint? = nil, until deadline: Deadline) throws(RedisError) {
        var sources: [RedisEndpoint] = []
        for node in [first].compactMap(\.self) + slots.nodes + startingNodes {
            guard sources.count < Self.maximumSources else { break }
            if !sources.contains(node), connector.address.allows(node) { sources.append(node) }
        }
        var failures: [RedisError] = []
        for (index, source) in sources.enumerated() {
            // The last share is for the commands themselves.
            let share = deadline.share(amongst: sources.count - index + 1)
            do {
                slots = try slots(from: source, until: share)
                isStale = false
                connections = connections.filter { slots.nodes.contains($0.key) }
                return
            } catch {
                connections[source] = nil
                failures.append(error)
            }
        }
        throw RedisError.mostTelling(failures)
            ?? .connect(address: connector.address.redacted, cause: "no node is given")
    }

    private func slots(from source: RedisEndpoint, until deadline: Deadline) throws(RedisError) -> ClusterSlots {
        let command = RedisCommand("CLUSTER", "SLOTS")
        let reply = try connections[source, default: KeptConnection()].pipeline([command], until: deadline) {
            () throws(RedisError) in try connect(to: source, until: deadline)
        }[0]
        guard let slots = ClusterSlots(reply, from: source) else {
            throw .server(
                address: connector.address.redacted(source),
                message: "CLUSTER SLOTS: \(reply.error ?? "no slots are told; see CLUSTER INFO")"
            )
        }
        return slots
    }
}
