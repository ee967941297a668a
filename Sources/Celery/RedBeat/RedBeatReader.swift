package import Reading
package import Redis

/// Reads RedBeat's keys and says how beat is.
///
/// A collection takes four round trips at most, however many entries there are: entries are read again only when their
/// score has changed, and a few more in turn, since a definition can change without its score.
///
/// While there is no lock the schedule is not touched: its idle time then tells whether a beat works without one.
///
/// The lock's value is read only when the lock has been taken or extended before our eyes. Reading resets the lock's idle
/// time, which is the only trace of when a dead beat last lived: a restarted exporter must find it untouched.
package final class RedBeatReader: Reader {
    private let client: RedisClient
    private let configuration: RedBeatConfiguration
    private let keys: RedBeatKeys
    private var tracker: RedBeatTracker
    private var entries: StoredEntries
    private var search: EntrySearch
    /// Why it cannot go on; nil where it can.
    private var refusedSearch: String?
    private var isDetected: Bool
    /// The schedule at the last collection with a lock, until there is none.
    private var lastMembers: [StoredEntries.Member] = []
    /// The same by key while there is no lock, but for what is gone since.
    private var lastScores: [[UInt8]: Double] = [:]
    private var idleTimes = IdleTimes()
    /// Keys of entries that had no score at the last collection: in a cluster hash and score are not stored at once.
    private var unscoredBefore: Set<[UInt8]> = []
    /// Those of them that were told.
    private var toldUnscored: Set<[UInt8]> = []
    /// When the lock was last seen to end: minus infinity when there was none, nil before the first look.
    private var lockEnd: Double?

    /// Two looks at the end of one lock differ by no more than this, in seconds.
    private static let endTolerance = 0.05
    /// Keys beside the schedule's own that one collection looks into.
    private static let othersPerCollection = 1000
    /// A lock that holds for longer than a century, in milliseconds, is one without an end.
    private static let longestTimeToLive: Int64 = 3_200_000_000_000

    package init(client: RedisClient, configuration: RedBeatConfiguration) {
        self.client = client
        self.configuration = configuration
        keys = RedBeatKeys(prefix: configuration.keyPrefix, lock: configuration.lock)
        tracker = RedBeatTracker(configuration: configuration)
        entries = StoredEntries(client: client, keys: keys)
        search = EntrySearch(keys: keys, maximumEntries: configuration.maximumEntries)
        isDetected = configuration.isExpected
    }

    /// What someone should set or allow.
    private var advice: [String] {
        var advice: [String] = []
        if let lock = keys.lock, tracker.worksUnlocked {
            advice.append(
                "beat works although there is no lock \(lock), so it is judged by the idle time of \(keys.schedule); set "
                    + "--redbeat.lock-key to none, or to the lock's key if redbeat_lock_key names another"
            )
        }
        if let refusedSearch {
            advice.append(
                "entries that have lost their score cannot be looked for, since the search is refused: \(refusedSearch)"
            )
        }
        return advice
    }

    /// How beat is now; nil while nothing tells that RedBeat is in use at all.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> {
        do throws(RedisError) {
            var problems: [SourceProblem] = []
            let state = try observe(until: deadline, &problems)
            return Reading(of: state, problems: problems, advice: advice)
        } catch { throw SourceError(error) }
    }

    private func observe(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> BeatState? {
        var reading = try readServer(until: deadline, &problems)
        let ownerIsNews = noteLockEnd(reading)
        var members: [StoredEntries.Member] = []
        if reading.lock != nil {
            members = try readSchedule(of: &reading, readingOwner: ownerIsNews, until: deadline, &problems)
        } else {
            reading.hasScores = false
            // What it held while there was a lock, and what is found beside.
            if !lastMembers.isEmpty {
                lastScores = Dictionary(lastMembers.map { ($0.key, $0.score) }) { first, _ in first }
                lastMembers = []
            }
            if reading.hasSchedule {
                members = search.found().map { StoredEntries.Member(key: $0, score: lastScores[$0] ?? 0) }
            }
        }
        if reading.hasSchedule || search.hasStatics || reading.lock != nil || reading.entryCount > 0 {
            isDetected = true
        }
        guard isDetected else { return nil }

        let unread = reading.entryCount - reading.unnamedCount - members.count
        if unread > 0, reading.hasScores {
            problems.append(
                SourceProblem(
                    .overLimit,
                    "\(keys.schedule) has more than \(members.count) entries; the rest is counted, not read"
                )
            )
        }
        let clockRead = ContinuousClock.now
        if reading.hasScores { (lastMembers, lastScores) = (members, [:]) }
        let scheduled = Set(members.map(\.key))
        // A schedule that could not be read whole does not tell what it lacks.
        let others =
            reading.hasScores && unread <= 0
            ? search.found(beside: scheduled).prefix(Self.othersPerCollection)
                .map { StoredEntries.Member(key: $0, score: 0) } : []
        let scored = reading.hasScores ? scheduled : []
        try entries.refresh(
            members + others,
            scored: scored,
            remembered: lastScores,
            at: reading.time,
            until: deadline,
            &search,
            &problems
        )
        if !reading.hasScores { lastScores = lastScores.filter { entries[$0.key] != nil } }
        reading.duration = clockRead.duration(to: .now) / .seconds(1)
        reading.entries = members.compactMap { stored($0.key) }
        noteUnscored(others, in: &reading, &problems)
        if !reading.hasScores { reading.entryCount = reading.entries.count }
        var state = tracker.observe(reading)
        if !reading.hasScores, !search.isComplete { state.isPreliminary = true }
        state.isNowhere = state.heartbeat == nil && state.lock?.isHeld != true && state.schedule?.entryCount == 0
        return state
    }

    // MARK: The schedule

    /// What can be read without touching the schedule.
    private func readServer(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> RedBeatReading {
        let lockCommands =
            keys.lock.map {
                [RedisCommand("OBJECT", "IDLETIME", $0), RedisCommand("PTTL", $0), RedisCommand("TYPE", $0)]
            } ?? []
        let replies = try client.pipeline(
            lockCommands + [
                RedisCommand("OBJECT", "IDLETIME", keys.schedule),
                RedisCommand("TIME"),
                // Where the lock's type may be asked for, so may the schedule's.
                RedisCommand(keys.lock == nil ? "EXISTS" : "TYPE", keys.schedule),
                RedisCommand("INFO", "persistence"),
                RedisCommand("INFO", "stats"),
                RedisCommand("INFO", "replication"),
            ] + search.commands,
            until: deadline
        )
        let ofServer = replies[lockCommands.count...]
        let first = ofServer.startIndex
        guard let time = ofServer[first + 1].time else {
            throw client.serverError(ofServer[first + 1].error ?? "TIME returned no time")
        }
        let information = ServerInformation(ofServer[first + 3], ofServer[first + 4], ofServer[first + 5])
        idleTimes.observe(information)
        var reading = RedBeatReading(time: time)
        reading.scheduleIdle = ofServer[first].length.map { Double($0) }
        reading.isIdleUnreliable = !idleTimes.areReliable
        reading.isReplica = information.text("role") == "slave"
        reading.hasSchedule = try hasSchedule(ofServer[first + 2])
        if let key = keys.lock {
            reading.lock = try lock(key, replies.prefix(lockCommands.count), at: time, &problems)
        }
        refusedSearch = search.advance(ofServer.suffix(search.commands.count))
        if refusedSearch == nil { problems += search.omissions.map { SourceProblem(.overLimit, $0) } }
        // With a lock the schedule itself tells of its entries.
        if let refusedSearch, keys.lock == nil { throw client.serverError(refusedSearch) }
        return reading
    }

    private func hasSchedule(_ reply: RedisValue) throws(RedisError) -> Bool {
        if keys.lock == nil { return try integer(reply, of: "EXISTS \(keys.schedule)") > 0 }
        switch reply.text {
        case "none": return false
        case "zset": return true
        case let type?:
            let shown = type.prefix(20)
            throw client.serverError("TYPE \(keys.schedule): WRONGTYPE, it is a \(shown) and no schedule of RedBeat's")
        case nil: throw client.serverError("TYPE \(keys.schedule): \(reply.error ?? "no text")")
        }
    }

    /// The lock; nil where the key does not exist or holds something else.
    /// - Parameter replies: to OBJECT IDLETIME, PTTL and TYPE.
    private func lock(
        _ key: String,
        _ replies: ArraySlice<RedisValue>,
        at time: Double,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> RedBeatReading.Lock? {
        // PTTL says -2 for a missing key and -1 for one without an end.
        let timeToLive = try integer(replies[1], of: "PTTL \(key)")
        guard let type = replies[2].text else {
            throw client.serverError("TYPE \(key): \(replies[2].error ?? "no text")")
        }
        guard timeToLive != -2 else { return nil }
        guard type == "string" else {
            problems.append(SourceProblem(.wrongType, "\(key) is no string, so it is no lock of RedBeat's; delete it"))
            return nil
        }
        let hasEnd = (0...Self.longestTimeToLive).contains(timeToLive)
        if !hasEnd {
            problems.append(
                SourceProblem(.malformed, "\(key) has no end, so no beat set it and none can take it; delete it")
            )
        }
        return RedBeatReading.Lock(
            token: nil,
            timeToLive: hasEnd ? Double(timeToLive) / 1000 : nil,
            idle: idleTimes.trusted(replies[0].length, at: time)
        )
    }

    /// Remembers when the lock ends.
    /// - Returns: whether it was taken or extended since the last look, so that its owner may be another.
    private func noteLockEnd(_ reading: RedBeatReading) -> Bool {
        let end = reading.lock.map { reading.time + ($0.timeToLive ?? 0) } ?? -.infinity
        defer { lockEnd = end }
        guard reading.lock != nil, let lockEnd else { return false }
        return abs(end - lockEnd) > Self.endTolerance
    }

    /// The members of the schedule, which this touches, and the lock's owner.
    private func readSchedule(
        of reading: inout RedBeatReading,
        readingOwner: Bool,
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> [StoredEntries.Member] {
        let owner = keys.lock.flatMap { readingOwner ? RedisCommand("GETRANGE", $0, 0, 63) : nil }
        let replies = try client.pipeline(
            [
                RedisCommand("ZCARD", keys.schedule),
                RedisCommand("ZRANGE", keys.schedule, 0, configuration.maximumEntries - 1, "WITHSCORES"),
            ] + (owner.map { [$0] } ?? []),
            until: deadline
        )
        if owner != nil {
            guard let token = replies[2].text else {
                throw client.serverError("GETRANGE \(keys.lock ?? ""): \(replies[2].error ?? "no text")")
            }
            // Empty where the lock was released between the two questions.
            reading.lock?.token = token.isEmpty || token.utf8.count > 64 ? nil : token
        }
        guard let count = replies[0].length else {
            throw client.serverError("ZCARD \(keys.schedule): \(replies[0].error ?? "no number")")
        }
        reading.entryCount = count
        guard let flat = replies[1].array else { throw client.serverError("ZRANGE: \(replies[1].error ?? "no list")") }
        let places = Array(stride(from: 0, to: flat.count - 1, by: 2).prefix(configuration.maximumEntries))
        let members = places.compactMap { index -> StoredEntries.Member? in
            guard let key = flat[index].bytes, key.count <= ScanPage.maximumNameBytes else { return nil }
            return StoredEntries.Member(key: key, score: Self.score(flat[index + 1]))
        }
        reading.unnamedCount = places.count - members.count
        if reading.unnamedCount > 0 {
            problems.append(
                SourceProblem(
                    .overLimit,
                    "\(keys.schedule) has \(reading.unnamedCount) entries that are not read, since their names have more "
                        + "than \(ScanPage.maximumNameBytes) bytes, or all names together too many"
                )
            )
        }
        return members
    }

    /// When an entry is due, by its member's score, in Unix seconds; beyond any calendar where it is infinite.
    private static func score(_ value: RedisValue) -> Double {
        guard let score = value.number, !score.isNaN else { return 0 }
        return min(max(score, -1e12), 1e12)
    }

    /// Keeps for the reading what is stored and lacks a score, once it has done so at two collections.
    private func noteUnscored(
        _ others: [StoredEntries.Member],
        in reading: inout RedBeatReading,
        _ problems: inout [SourceProblem]
    ) {
        let unscored = others.compactMap { stored($0.key) }
        reading.unscored = unscored.filter { unscoredBefore.contains($0.key) }
        for entry in reading.unscored where !toldUnscored.contains(entry.key) {
            problems.append(
                SourceProblem(
                    .malformed,
                    "schedule entry \(SourceProblem.name(entry.key)) has no score in \(keys.schedule), so beat will never run it; "
                        + (entry.isStatic ? "restart beat" : "save it again, or delete it")
                )
            )
        }
        toldUnscored = Set(reading.unscored.map(\.key))
        unscoredBefore = Set(unscored.map(\.key))
    }

    private func stored(_ key: [UInt8]) -> RedBeatReading.Entry? {
        guard var entry = entries[key] else { return nil }
        entry.isStatic = search.isStatic(key)
        return entry
    }

    // MARK: Replies

    private func integer(_ reply: RedisValue, of command: String) throws(RedisError) -> Int64 {
        guard let value = reply.integer else { throw client.serverError("\(command): \(reply.error ?? "no number")") }
        return value
    }
}
