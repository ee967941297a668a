/// Which node of a cluster serves which slot, as far as is known.
struct ClusterSlots {
    private(set) var nodes: [RedisEndpoint] = []
    /// Where each is among `nodes`.
    private var places: [RedisEndpoint: UInt16] = [:]
    /// For each slot an index into `nodes`; nil where no node is known.
    private var owners: [UInt16?] = []

    init() {}

    /// Reads the reply of CLUSTER SLOTS:
    ///
    ///     1) 1) (integer) 0        first slot
    ///        2) (integer) 5460     last slot
    ///        3) 1) "10.0.0.1"      its master: an address or a host name, as `cluster-preferred-endpoint-type` says
    ///           2) (integer) 6379
    ///           3) "09dbe9720cda62f7865eabc5fd8857c5d2678366"
    ///           4) 1) "ip"         from Redis 7 on: names and values of what else is known, here its address
    ///              2) "10.0.0.1"
    ///        4) ...                its replicas
    ///
    /// A master whose place nobody told ("?" without an address) leaves its slots without an owner.
    ///
    /// - Parameter source: the node that was asked.
    init?(_ reply: RedisValue, from source: RedisEndpoint) {
        // No more ranges than slots.
        guard let ranges = reply.array, (1...HashSlot.count).contains(ranges.count) else { return nil }
        owners = Array(repeating: nil, count: HashSlot.count)
        var told: Int64 = 0
        for range in ranges {
            guard let parts = range.array, parts.count >= 3, let master = parts[2].array, master.count >= 2,
                let first = parts[0].integer, let last = parts[1].integer,
                0 <= first, first <= last, last < HashSlot.count,
                let port = master[1].integer.flatMap({ UInt16(exactly: $0) }), port > 0
            else { return nil }
            // Each slot once: ranges that overlap would take time without end.
            told += last - first + 1
            guard told <= HashSlot.count else { return nil }
            var host = master[0].text ?? ""
            if host == Self.unknownHost, let address = Self.address(in: master) { host = address }
            guard let node = Self.endpoint(host: host, port: port, from: source) else { continue }
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
        if let place = places[node] { return place }
        guard nodes.count < Self.maximumNodes else { return nil }
        let place = UInt16(nodes.count)
        nodes.append(node)
        places[node] = place
        return place
    }

    /// No cluster has more. Source: Redis Cluster specification, "Redis Cluster goals".
    static let maximumNodes = 1000

    /// Where a node is that another one speaks of; nil where that is not known.
    ///
    /// Source: "CLUSTER SLOTS" in Redis's command reference, on the preferred endpoint.
    ///
    /// - Parameters:
    ///   - host: empty for that of the node that told (`unknown-endpoint`), "?" for a node that lacks the host name by
    ///     which it ought to be known (`cluster-announce-hostname`).
    ///   - source: the node that told.
    fileprivate static func endpoint(host: String, port: UInt16, from source: RedisEndpoint) -> RedisEndpoint? {
        guard host != unknownHost else { return nil }
        guard host.isEmpty else { return RedisEndpoint(announcedHost: host, port: port) }
        guard case .tcp(let host, _) = source else { return nil }
        return .tcp(host: host, port: port)
    }

    private static let unknownHost = "?"

    /// The IP address among what else is told of a node.
    private static func address(in node: [RedisValue]) -> String? {
        guard node.count >= 4, let words = node[3].array else { return nil }
        let name = stride(from: 0, to: words.count - 1, by: 2).first { words[$0].text == "ip" }
        return name.flatMap { words[$0 + 1].text }
    }
}

/// What a node answers instead of a value when another one has it.
///
/// Source: Redis Cluster specification, "MOVED Redirection" and "ASK redirection".
enum Redirection: Equatable {
    /// The slot has another owner from now on; nil where the node does not know how that one is reached.
    case moved(slot: Int, to: RedisEndpoint?)
    /// The slot is on its way to another owner, and this key is there already, or nowhere.
    case ask(RedisEndpoint)

    /// Reads `MOVED 3999 127.0.0.1:6381` and `ASK 3999 127.0.0.1:6381`, also with a host name or without a host; nil for
    /// any other reply.
    init?(_ reply: RedisValue, from source: RedisEndpoint) {
        guard let words = reply.error?.split(separator: " "), words.count >= 3, let slot = Int(words[1]),
            (0..<HashSlot.count).contains(slot), let colon = words[2].lastIndex(of: ":"),
            let port = UInt16(words[2][words[2].index(after: colon)...]), port > 0
        else { return nil }
        let node = ClusterSlots.endpoint(host: String(words[2][..<colon]), port: port, from: source)
        switch (words[0], node) {
        case ("MOVED", _): self = .moved(slot: slot, to: node)
        case ("ASK", let node?): self = .ask(node)
        default: return nil
        }
    }
}
