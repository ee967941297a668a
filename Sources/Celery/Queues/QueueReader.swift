package import Redis

/// Which queues to look at.
package struct QueueConfiguration: Equatable, Sendable {
    package var keys = KombuKeys()
    /// Queues that are always reported, also while they are empty.
    package var names: [String] = []
    /// Whether to find others in kombu's bindings and in the schedule.
    package var discovers = true
    /// Queues beyond this number are not reported.
    package var maximumQueues = 1000
    /// Seconds of `visibility_timeout`: a message that is not acknowledged for longer is delivered again.
    package var visibilityTimeout = 3600.0

    package init() {}
}

/// Reads the depth of queues and of what workers have not acknowledged. Three round trips at most.
package final class QueueReader {
    private let client: RedisClient
    private let configuration: QueueConfiguration
    private let scheduledQueues: SharedQueueNames
    private var discovered = BindingScan()
    private var usingPriorities: Set<String> = []

    /// Whether the search for bindings has not yet been through all keys.
    package var isSearching: Bool { discovered.isUnderWay }

    /// Which server of a list of brokers is read in place of the first, and why; nil while that is the first.
    package var failoverAdvice: String? { client.failoverAdvice }

    /// - Parameter scheduledQueues: the queues that schedule entries name.
    package init(client: RedisClient, configuration: QueueConfiguration, scheduledQueues: SharedQueueNames) {
        self.client = client
        self.configuration = configuration
        self.scheduledQueues = scheduledQueues
    }

    package func read() throws(RedisError) -> (state: QueueState, anomalies: [Anomaly]) {
        var anomalies: [Anomaly] = []
        if configuration.discovers { try discover(&anomalies) }

        var names = configuration.names
        if configuration.discovers { names += (scheduledQueues.names.union(discovered.queues)).sorted() }
        var seen: Set<String> = []
        names = names.filter { seen.insert($0).inserted }
        if names.count > configuration.maximumQueues {
            anomalies.append(
                Anomaly(.overLimit, "more than \(configuration.maximumQueues) queues; the rest is not reported")
            )
            names.removeLast(names.count - configuration.maximumQueues)
        }

        let keys = configuration.keys
        let steps = keys.prioritySteps
        let replies = try client.pipeline(
            [
                RedisCommand("HLEN", keys.unacked),
                RedisCommand("ZRANGE", keys.unackedIndex, 0, 0, "WITHSCORES"),
            ]
                + names.flatMap { name in
                    steps.map { RedisCommand("LLEN", keys.list(queue: name, priority: $0)) }
                }
        )
        let unacked = try lengthOrAnomaly(replies[0], of: keys.unacked, &anomalies)
        var queues: [QueueDepth] = []
        for (index, name) in names.enumerated() {
            var depths: [PriorityDepth] = []
            for (offset, step) in steps.enumerated() {
                let reply = replies[2 + index * steps.count + offset]
                guard let length = try lengthOrAnomaly(reply, of: keys.list(queue: name, priority: step), &anomalies)
                else {
                    break
                }
                depths.append(PriorityDepth(priority: step, length: length))
            }
            // A queue of which one part cannot be read would be reported too short.
            guard depths.count == steps.count else { continue }
            if depths.dropFirst().contains(where: { $0.length > 0 }) { usingPriorities.insert(name) }
            queues.append(QueueDepth(name: name, priorities: depths, usesPriorities: usingPriorities.contains(name)))
        }
        let state = QueueState(
            queues: queues.sorted { $0.name < $1.name },
            unacked: unacked,
            oldestUnacked: try oldestOrAnomaly(replies[1], of: keys.unackedIndex, &anomalies),
            visibilityTimeout: configuration.visibilityTimeout
        )
        return (state, anomalies)
    }

    /// Goes on looking for bindings.
    private func discover(_ anomalies: inout [Anomaly]) throws(RedisError) {
        let keys = configuration.keys
        let now = ContinuousClock.now
        guard discovered.isDue(at: now) else { return }
        let reply = try client.pipeline([discovered.command(keys)])[0]
        guard let page = ScanPage(reply) else { throw server(reply.error ?? "SCAN returned no page") }
        let bindings = page.elements.filter { key in
            let exchange = String(decoding: key.dropFirst(keys.bindingPrefix.utf8.count), as: UTF8.self)
            return KombuKeys.carriesTasks(exchange: exchange)
        }
        let replies = try client.pipeline(
            bindings.map { RedisCommand("SRANDMEMBER", $0, configuration.maximumQueues) }
        )
        var found: Set<String> = []
        for (key, reply) in zip(bindings, replies) {
            guard let members = reply.array else {
                let name = String(decoding: key, as: UTF8.self)
                anomalies.append(Anomaly(.wrongType, "\(name) is no set, so it holds no bindings of kombu's"))
                continue
            }
            for member in members.compactMap(\.bytes) {
                // A label cannot hold other bytes, and another name would be another queue's.
                guard let text = String(validating: member, as: UTF8.self) else {
                    let binding = String(decoding: member, as: UTF8.self)
                    anomalies.append(
                        Anomaly(.malformed, "the queue of binding \(binding) is not UTF-8, and is left out")
                    )
                    continue
                }
                if let queue = keys.queue(ofBinding: text) { found.insert(queue) }
            }
        }
        discovered.note(found, page: page, at: now, limit: configuration.maximumQueues)
    }

    /// More messages than this no Redis holds, and lengths that are added up must not overflow.
    private static let longestQueue = Int64(1) << 40

    /// The length; nil, and an anomaly, where the key has the wrong type.
    private func lengthOrAnomaly(
        _ reply: RedisValue,
        of key: String,
        _ anomalies: inout [Anomaly]
    ) throws(RedisError) -> Int? {
        if let length = reply.integer, (0...Self.longestQueue).contains(length) { return Int(length) }
        try note(reply, of: key, &anomalies)
        return nil
    }

    /// The score of the first member, if there is one; nil, and an anomaly, where the key has the wrong type.
    private func oldestOrAnomaly(
        _ reply: RedisValue,
        of key: String,
        _ anomalies: inout [Anomaly]
    ) throws(RedisError) -> Double? {
        if let first = reply.array { return first.count == 2 ? first[1].number : nil }
        try note(reply, of: key, &anomalies)
        return nil
    }

    private func note(_ reply: RedisValue, of key: String, _ anomalies: inout [Anomaly]) throws(RedisError) {
        let message = reply.error ?? "no number"
        guard message.hasPrefix("WRONGTYPE") else { throw server("\(key): \(message)") }
        anomalies.append(Anomaly(.wrongType, "\(key) is not what kombu keeps under that name, so it is left out"))
    }

    private func server(_ message: String) -> RedisError {
        .server(address: client.address.redacted, message: message)
    }
}

/// A walk over all keys in small steps, in search of kombu's binding sets, and what it found.
private struct BindingScan {
    private(set) var queues: Set<String> = []
    private var foundInThisWalk: Set<String> = []
    private var cursor = "0"
    private var isLongWalk = false
    private var nextWalk: ContinuousClock.Instant?

    /// Keys that one collection looks at.
    private static let keysPerCollection = 1000
    /// Rest between two walks that took more than one collection.
    private static let pause = Duration.seconds(60)

    var isUnderWay: Bool { cursor != "0" }

    func isDue(at now: ContinuousClock.Instant) -> Bool {
        nextWalk.map { now >= $0 } ?? true
    }

    func command(_ keys: KombuKeys) -> RedisCommand {
        RedisCommand("SCAN", cursor, "MATCH", globEscaped(keys.bindingPrefix) + "*", "COUNT", Self.keysPerCollection)
    }

    mutating func note(_ found: Set<String>, page: ScanPage, at now: ContinuousClock.Instant, limit: Int) {
        func add(_ names: Set<String>, to set: inout Set<String>) {
            for name in names where set.count <= limit { set.insert(name) }
        }
        add(found, to: &queues)
        add(found, to: &foundInThisWalk)
        cursor = page.cursor
        guard cursor == "0" else {
            isLongWalk = true
            nextWalk = nil
            return
        }
        // A whole walk saw every binding there is: forget queues whose binding is gone.
        queues = foundInThisWalk
        foundInThisWalk = []
        nextWalk = isLongWalk ? now + Self.pause : nil
        isLongWalk = false
    }
}
