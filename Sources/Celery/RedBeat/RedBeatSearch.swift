package import Redis

/// A RedBeat that is somewhere else than where it is looked for.
package struct RedBeatPlace: Equatable, Sendable {
    package var database: Int
    /// `redbeat_key_prefix`.
    package var prefix: String
    /// Whether a beat holds its lock, or left it.
    package var isLocked: Bool

    package init(database: Int, prefix: String, isLocked: Bool) {
        self.database = database
        self.prefix = prefix
        self.isLocked = isLocked
    }
}

/// Looks through a Redis for the schedules of RedBeats under other prefixes and in other databases.
///
/// It walks over all keys in small steps, up to a number of keys and a time. It never touches a schedule or a lock: their
/// idle times tell whoever watches that RedBeat when it last lived.
package struct RedBeatSearch {
    package struct Outcome: Equatable, Sendable {
        package var places: [RedBeatPlace] = []
        /// What could not be looked through, and why: a line each.
        package var gaps: [String] = []
    }

    private let address: RedisAddress
    private let limits: RedisLimits
    private let end: ContinuousClock.Instant

    /// Keys of each database that are looked at.
    private static let maximumKeys = 2_000_000
    private static let keysPerStep = 1000
    private static let maximumDatabases = 32
    /// Prefixes that are remembered in each database, of whatever has keys with such names.
    private static let maximumPrefixes = 100

    /// - Parameters:
    ///   - limits: of each step.
    ///   - end: then no further step is taken.
    package init(_ address: RedisAddress, limits: RedisLimits, until end: ContinuousClock.Instant) {
        self.address = address
        self.limits = limits
        self.end = end
    }

    /// All RedBeats there are, those of the address's own database first.
    package func run() -> Outcome {
        var outcome = Outcome()
        for database in databases(&outcome) {
            var address = address
            address.database = database
            do throws(RedisError) {
                outcome.places += try places(at: address, &outcome.gaps)
            } catch {
                outcome.gaps.append("database \(database): \(error.description)")
            }
        }
        return outcome
    }

    /// Those that hold keys; the address's own first.
    private func databases(_ outcome: inout Outcome) -> [Int] {
        // A cluster has no other.
        if case .cluster = address.servers { return [address.database] }
        let client = RedisClient(address: address, limits: limits)
        let reply: RedisValue
        do throws(RedisError) {
            reply = try client.pipeline([RedisCommand("INFO", "keyspace")], until: .now + limits.timeout)[0]
        } catch {
            outcome.gaps.append(error.description)
            return []
        }
        guard let text = reply.text else {
            outcome.gaps.append("other databases: \(reply.error ?? "INFO keyspace does not name them")")
            return [address.database]
        }
        let others = text.split(whereSeparator: \.isNewline).compactMap { line -> Int? in
            guard line.hasPrefix("db"), let colon = line.firstIndex(of: ":") else { return nil }
            return Int(line[line.index(line.startIndex, offsetBy: 2)..<colon])
        }.filter { $0 != address.database && (0..<65_536).contains($0) }
        if others.count >= Self.maximumDatabases {
            outcome.gaps.append("databases beyond the first \(Self.maximumDatabases)")
        }
        return [address.database] + others.prefix(Self.maximumDatabases - 1)
    }

    private func places(at address: RedisAddress, _ gaps: inout [String]) throws(RedisError) -> [RedBeatPlace] {
        let client = RedisClient(address: address, limits: limits)
        var prefixes: [String] = []
        let isWhole = try walk(address, pattern: Self.pattern) { key in
            guard let prefix = Self.prefix(of: key), !prefixes.contains(prefix) else { return true }
            prefixes.append(prefix)
            return prefixes.count < Self.maximumPrefixes
        }
        if !isWhole { gaps.append("database \(address.database): it has more keys than could be looked at") }
        var places: [RedBeatPlace] = []
        for prefix in prefixes.sorted() {
            let keys = RedBeatKeys(prefix: prefix, lock: .standard)
            let types = try client.pipeline(
                [keys.schedule, keys.statics, keys.lock ?? ""].map { RedisCommand("TYPE", $0) },
                until: .now + limits.timeout
            )
            if let error = types.lazy.compactMap(\.error).first {
                gaps.append("database \(address.database), prefix \(prefix): \(error)")
                continue
            }
            let (hasSchedule, hasStatics) = (types[0].text == "zset", types[1].text == "set")
            let isLocked = types[2].text == "string"
            var isRedBeat = hasSchedule ? hasStatics || isLocked : hasStatics && isLocked
            if hasSchedule, !isRedBeat { isRedBeat = try hasEntries(keys, client, address) }
            guard isRedBeat else { continue }
            places.append(RedBeatPlace(database: address.database, prefix: prefix, isLocked: isLocked))
        }
        return places
    }

    /// Whether any entry's hash is there: other programs have sorted sets of such a name, too.
    private func hasEntries(
        _ keys: RedBeatKeys,
        _ client: RedisClient,
        _ address: RedisAddress
    ) throws(RedisError) -> Bool {
        var hasEntry = false
        _ = try walk(address, pattern: globEscaped(keys.prefix) + "*") { (key) throws(RedisError) in
            guard Self.prefix(of: key) == nil else { return true }
            let reply = try client.pipeline(
                [RedisCommand("HEXISTS", key, "definition")],
                until: .now + limits.timeout
            )[0]
            hasEntry = reply.integer == 1
            return !hasEntry
        }
        return hasEntry
    }

    // MARK: Keys

    /// A little more than `*:schedule`, `*:statics` and `*:lock`, in one walk.
    private static let pattern = "*:[sl][cto][hac]*"

    /// What stands before such an ending.
    private static func prefix(of key: [UInt8]) -> String? {
        // A prefix that is no text cannot be given as one.
        guard let text = String(validating: key, as: UTF8.self) else { return nil }
        for ending in [":schedule", ":statics", ":lock"] where text.hasSuffix(ending) {
            return String(text.dropLast(ending.count))
        }
        return nil
    }

    /// Hands over the keys of a database that match, until `body` returns false.
    ///
    /// - Returns: false where there are more keys than may be looked at.
    private func walk(
        _ address: RedisAddress,
        pattern: String,
        _ body: ([UInt8]) throws(RedisError) -> Bool
    ) throws(RedisError) -> Bool {
        for node in nodes(of: address) {
            let client = RedisClient(address: node, limits: limits)
            var cursor = "0"
            var keys = 0
            repeat {
                guard keys < Self.maximumKeys, ContinuousClock.now < end else { return false }
                let reply = try client.pipeline(
                    [RedisCommand("SCAN", cursor, "MATCH", pattern, "COUNT", Self.keysPerStep)],
                    until: .now + limits.timeout
                )[0]
                guard let page = ScanPage(reply) else {
                    throw .server(address: node.redacted, message: reply.error ?? "SCAN returned no page")
                }
                for key in page.elements {
                    guard try body(key) else { return true }
                }
                cursor = page.cursor
                keys += Self.keysPerStep
            } while cursor != "0"
        }
        return true
    }

    /// SCAN tells the keys of one node: of a cluster those that the address names are asked in turn.
    private func nodes(of address: RedisAddress) -> [RedisAddress] {
        guard case .cluster(let endpoints) = address.servers else { return [address] }
        return endpoints.map { endpoint in
            var node = address
            node.servers = .single(endpoint)
            return node
        }
    }
}
