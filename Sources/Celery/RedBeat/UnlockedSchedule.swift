internal import Redis

/// Finds the entries of a RedBeat without a lock and never touches the schedule itself, whose idle time is its heartbeat.
///
/// Static entries are named in a set; the others are found by a SCAN over the keys with the prefix, a bounded number of
/// keys at each collection.
struct UnlockedSchedule {
    private let keys: RedBeatKeys
    private let maximumEntries: Int
    private var known: Set<[UInt8]> = []
    private var keyCursor = "0"
    private var staticsCursor = "0"

    /// Keys that one collection looks at.
    private static let keysPerCollection = 1000

    init(keys: RedBeatKeys, maximumEntries: Int) {
        self.keys = keys
        self.maximumEntries = maximumEntries
    }

    /// The entries' keys that are known so far.
    var members: [[UInt8]] {
        known.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Whether the last page ended a walk over all keys.
    var isComplete: Bool { keyCursor == "0" && staticsCursor == "0" }

    /// What to ask for next; the replies go to `advance`.
    var commands: [RedisCommand] {
        [
            RedisCommand("SSCAN", keys.statics, staticsCursor, "COUNT", Self.keysPerCollection),
            RedisCommand("SCAN", keyCursor, "MATCH", globEscaped(keys.prefix) + "*", "COUNT", Self.keysPerCollection),
        ]
    }

    mutating func advance(
        _ replies: [RedisValue],
        failure: (String) -> RedisError
    ) throws(RedisError) {
        guard let statics = ScanPage(replies[0]) else { throw failure("SSCAN: \(replies[0].error ?? "no page")") }
        guard let found = ScanPage(replies[1]) else { throw failure("SCAN: \(replies[1].error ?? "no page")") }
        staticsCursor = statics.cursor
        keyCursor = found.cursor
        let reserved = Set([keys.schedule, keys.statics, keys.prefix + ":lock"].map { Array($0.utf8) })
        for key in statics.elements.map({ Array(keys.prefix.utf8) + $0 }) + found.elements
        where known.count < maximumEntries && !reserved.contains(key) {
            known.insert(key)
        }
    }

    mutating func remove(_ key: [UInt8]) {
        known.remove(key)
    }
}

/// One page of SCAN or SSCAN.
struct ScanPage {
    /// "0" when the iteration is complete.
    let cursor: String
    let elements: [[UInt8]]

    init?(_ reply: RedisValue) {
        guard let parts = reply.array, parts.count == 2, let cursor = parts[0].text, let elements = parts[1].array
        else {
            return nil
        }
        self.cursor = cursor
        self.elements = elements.compactMap(\.bytes)
    }
}

/// A text as a glob pattern that matches only itself.
func globEscaped(_ text: String) -> String {
    var escaped = ""
    for character in text {
        if "*?[]\\^".contains(character) { escaped.append("\\") }
        escaped.append(character)
    }
    return escaped
}
