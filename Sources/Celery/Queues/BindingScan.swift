internal import Redis

/// A walk over all keys in small steps, in search of kombu's binding sets, and the queues it found.
struct BindingScan {
    /// By name: whether it is one worker's own.
    private(set) var queues: [String: Bool] = [:]
    private var foundInThisWalk: [String: Bool] = [:]
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

    /// - Parameter limit: queues that are kept; those that workers share come first.
    mutating func note(_ found: [String: Bool], page: ScanPage, at now: ContinuousClock.Instant, limit: Int) {
        func add(to queues: inout [String: Bool]) {
            queues.merge(found) { $0 && $1 }
            var excess = queues.count - limit
            guard excess > 0 else { return }
            queues = queues.filter { _, isOneWorkersOwn in
                guard isOneWorkersOwn, excess > 0 else { return true }
                excess -= 1
                return false
            }
            for name in queues.keys.sorted().suffix(max(0, excess)) { queues[name] = nil }
        }
        add(to: &queues)
        add(to: &foundInThisWalk)
        cursor = page.cursor
        guard cursor == "0" else {
            isLongWalk = true
            nextWalk = nil
            return
        }
        // A whole walk saw every binding there is: forget queues whose binding is gone.
        queues = foundInThisWalk
        foundInThisWalk = [:]
        nextWalk = isLongWalk ? now + Self.pause : nil
        isLongWalk = false
    }
}
