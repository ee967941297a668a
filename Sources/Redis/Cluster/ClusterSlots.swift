/// Which node of a cluster serves which slot, as far as is known.
struct ClusterSlots {
    private(set) var nodes: [RedisEndpoint] = []
    /// For each slot an index into `nodes`; nil where no node is known.
    private var owners: [UInt16?] = []

    init() {}

    /// Reads the reply of CLUSTER SLOTS:
    ///
    ///     1) 1) (integer) 0        first slot
    ///        2) (integer) 5460     last slot
    ///        3) 1) "10.0.0.1"      its master; empty or nil for the host that was asked, "?" where it is not known
    ///           2) (integer) 6379
    ///           3) "09dbe9720cda62f7865eabc5fd8857c5d2678366"
    ///        4) ...                its replicas
    ///
    /// - Parameter source: the node that was asked.
    init?(_ reply: RedisValue, from source: RedisEndpoint) {
        // No more ranges than slots.
        guard let ranges = reply.array, (1...HashSlot.count).contains(ranges.count) else { return nil }
        owners = Array(repeating: nil, count: HashSlot.count)
        for range in ranges {
            guard let parts = range.array, parts.count >= 3, let master = parts[2].array, master.count >= 2,
                let first = parts[0].integer, let last = parts[1].integer,
                0 <= first, first <= last, last < HashSlot.count,
                let port = master[1].integer.flatMap({ UInt16(exactly: $0) }),
                let node = Self.endpoint(host: master[0].text ?? "", port: port, from: source)
            else { return nil }
            let index = add(node)
            for slot in Int(first)...Int(last) { owners[slot] = index }
        }
    }

    /// Nil where no node is known to serve the slot.
    func owner(of slot: Int) -> RedisEndpoint? {
        owners.isEmpty ? nil : owners[slot].map { nodes[Int($0)] }
    }

    mutating func setOwner(of slot: Int, to node: RedisEndpoint) {
        guard owners.indices.contains(slot) else { return }
        owners[slot] = add(node)
    }

    private mutating func add(_ node: RedisEndpoint) -> UInt16? {
        if let index = nodes.firstIndex(of: node) { return UInt16(index) }
        // No more nodes than slots can own one.
        guard nodes.count < HashSlot.count else { return nil }
        nodes.append(node)
        return UInt16(nodes.count - 1)
    }

    /// - Parameter source: the node that told, whose host counts where it named none.
    fileprivate static func endpoint(host: String, port: UInt16, from source: RedisEndpoint) -> RedisEndpoint? {
        guard port > 0 else { return nil }
        guard host.isEmpty || host == "?" else { return .tcp(host: host, port: port) }
        guard case .tcp(let host, _) = source else { return nil }
        return .tcp(host: host, port: port)
    }
}

/// What a node answers instead of a value when another one has it.
///
/// Source: Redis Cluster specification, "MOVED Redirection" and "ASK redirection".
enum Redirection: Equatable {
    /// The slot has another owner from now on.
    case moved(slot: Int, to: RedisEndpoint)
    /// The slot is on its way to another owner, and this key is there already, or nowhere.
    case ask(RedisEndpoint)

    /// Reads `MOVED 3999 127.0.0.1:6381` and `ASK 3999 127.0.0.1:6381`; nil for any other reply.
    init?(_ reply: RedisValue, from source: RedisEndpoint) {
        guard let words = reply.error?.split(separator: " "), words.count >= 3, let slot = Int(words[1]),
            (0..<HashSlot.count).contains(slot), let colon = words[2].lastIndex(of: ":"),
            let port = UInt16(words[2][words[2].index(after: colon)...]),
            let node = ClusterSlots.endpoint(host: String(words[2][..<colon]), port: port, from: source)
        else { return nil }
        switch words[0] {
        case "MOVED": self = .moved(slot: slot, to: node)
        case "ASK": self = .ask(node)
        default: return nil
        }
    }
}
