internal import Redis

/// Searches for stored entries and never touches the schedule, whose idle time is the heartbeat of a beat without a lock.
///
/// Static entries are named in a set; the others are found by a SCAN over the keys with the prefix, a bounded number of
/// keys at each collection.
struct EntrySearch {
    private let keys: RedBeatKeys
    private let maximumEntries: Int
    private var known: Set<[UInt8]> = []
    private var statics: Set<[UInt8]> = []
    private var staticsOfThisWalk: Set<[UInt8]> = []
    private var keyCursor = "0"
    private var staticsCursor = "0"
    /// Why some of what the last page named was left out: one line for each kind of key.
    private(set) var omissions: [String] = []

    /// Keys that one collection looks at.
    private static let keysPerCollection = 1000

    init(keys: RedBeatKeys, maximumEntries: Int) {
        self.keys = keys
        self.maximumEntries = maximumEntries
    }

    /// The entries' keys that are known so far, but for those of `others`, in order.
    func found(beside others: Set<[UInt8]> = []) -> [[UInt8]] {
        known.filter { !others.contains($0) }.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Whether the last page ended a walk over all keys.
    var isComplete: Bool { keyCursor == "0" && staticsCursor == "0" }

    /// Whether any entry comes from beat's configuration.
    var hasStatics: Bool { !statics.isEmpty }

    func isStatic(_ key: [UInt8]) -> Bool { statics.contains(key) }

    /// What to ask for next; the replies go to `advance`.
    var commands: [RedisCommand] {
        [
            RedisCommand("SSCAN", keys.statics, staticsCursor, "COUNT", Self.keysPerCollection),
            RedisCommand("SCAN", keyCursor, "MATCH", globEscaped(keys.prefix) + "*", "COUNT", Self.keysPerCollection),
        ]
    }

    /// - Returns: why the search cannot go on, as Redis says it; nil where it can.
    mutating func advance(_ replies: ArraySlice<RedisValue>) -> String? {
        guard let first = replies.first, let named = ScanPage(first) else {
            return "SSCAN \(keys.statics): \(replies.first?.error ?? "no page")"
        }
        guard let last = replies.last, let page = ScanPage(last) else {
            return "SCAN: \(replies.last?.error ?? "no page")"
        }
        omissions = [named.omission(of: keys.statics), page.omission(of: "the search for \(keys.prefix)*")]
            .compactMap(\.self)
        let prefix = Array(keys.prefix.utf8)
        let ofConfiguration = named.elements.map { prefix + $0 }
        for key in ofConfiguration where staticsOfThisWalk.count < maximumEntries { staticsOfThisWalk.insert(key) }
        // A whole walk names all that there are.
        if named.cursor == "0" {
            statics = staticsOfThisWalk
            staticsOfThisWalk = []
        } else {
            statics.formUnion(staticsOfThisWalk)
        }
        staticsCursor = named.cursor
        keyCursor = page.cursor
        note((ofConfiguration + page.elements).filter { $0.count <= ScanPage.maximumNameBytes })
        return nil
    }

    /// Notes keys that were found elsewhere.
    mutating func note(_ found: [[UInt8]]) {
        let reserved = Set(
            [keys.schedule, keys.statics, keys.lock ?? "", keys.prefix + ":lock"].map { Array($0.utf8) }
        )
        for key in found where known.count < maximumEntries && !reserved.contains(key) { known.insert(key) }
    }

    /// It is no entry, or none any more.
    mutating func remove(_ key: [UInt8]) {
        known.remove(key)
    }
}
