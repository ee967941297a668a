package import Redis

/// Reads RedBeat's keys and says how beat is.
///
/// A collection takes four round trips at most, however many entries there are: entries are read again only when their
/// score has changed, and a few more in turn, since a definition can change without its score.
///
/// The lock's value is read only when the lock has been taken or extended before our eyes. Reading resets the lock's idle
/// time, which is the only trace of when a dead beat last lived: a restarted exporter must find it untouched.
package final class RedBeatReader {
    private let client: RedisClient
    private let configuration: RedBeatConfiguration
    private let keys: RedBeatKeys
    private var tracker: RedBeatTracker
    private var entries: [[UInt8]: RedBeatReading.Entry] = [:]
    private var scan: UnlockedSchedule
    private var isDetected: Bool
    private var rotation = 0
    private var idleTimes = IdleTimes()
    /// When the lock was last seen to end: minus infinity when there was none, nil before the first look.
    private var lockEnd: Double?

    /// Entries read again in turn at each collection.
    private static let rotationSize = 100
    /// Two looks at the end of one lock differ by no more than this, in seconds.
    private static let endTolerance = 0.05
    /// Bytes of entries that one collection asks for.
    private static let batchBytes = 16 << 20

    package init(client: RedisClient, configuration: RedBeatConfiguration) {
        self.client = client
        self.configuration = configuration
        keys = RedBeatKeys(prefix: configuration.keyPrefix, lock: configuration.lock)
        tracker = RedBeatTracker(configuration: configuration)
        scan = UnlockedSchedule(keys: keys, maximumEntries: configuration.maximumEntries)
        isDetected = configuration.isExpected
    }

    /// How beat is now; nil while nothing tells that RedBeat is in use at all.
    package func read() throws(RedisError) -> (state: BeatState?, anomalies: [Anomaly]) {
        var anomalies: [Anomaly] = []
        var reading: RedBeatReading
        var members: [Member]
        if let lock = keys.lock {
            (reading, members) = try readLocked(lock: lock, anomalies: &anomalies)
        } else {
            (reading, members) = try readUnlocked()
        }
        isDetected = isDetected || reading.lock != nil || reading.entryCount > 0
        guard isDetected else { return (nil, anomalies) }

        if reading.entryCount > members.count, reading.hasScores {
            anomalies.append(
                Anomaly(
                    .overLimit,
                    "\(keys.schedule) has more than \(members.count) entries; the rest is counted, not read"
                )
            )
        }
        let clockRead = ContinuousClock.now
        try refresh(&members, at: reading.time, hasScores: reading.hasScores, anomalies: &anomalies)
        reading.duration = clockRead.duration(to: .now) / .seconds(1)
        reading.entries = members.compactMap { entries[$0.key] }
        if !reading.hasScores { reading.entryCount = reading.entries.count }
        var state = tracker.observe(reading)
        if !reading.hasScores, !scan.isComplete { state.isPreliminary = true }
        return (state, anomalies)
    }

    // MARK: The schedule

    struct Member {
        let key: [UInt8]
        let score: Double
    }

    private func readLocked(lock: String, anomalies: inout [Anomaly]) throws(RedisError) -> (RedBeatReading, [Member]) {
        let replies = try client.pipeline([
            RedisCommand("OBJECT", "IDLETIME", lock),
            RedisCommand("TIME"),
            RedisCommand("PTTL", lock),
            RedisCommand("TYPE", lock),
            RedisCommand("ZCARD", keys.schedule),
            RedisCommand("ZRANGE", keys.schedule, 0, configuration.maximumEntries - 1, "WITHSCORES"),
            RedisCommand("EXISTS", keys.statics),
            RedisCommand("INFO", "persistence"),
            RedisCommand("INFO", "stats"),
        ])
        let time = try self.time(replies[1])
        idleTimes.observe(ServerInformation(replies[7], replies[8]))
        var reading = RedBeatReading(time: time)
        // PTTL says -2 for a missing key and -1 for one without an end.
        let timeToLive = try integer(replies[2], of: "PTTL \(lock)")
        guard let type = replies[3].text else { throw server("TYPE \(lock): \(replies[3].error ?? "no text")") }
        if timeToLive != -2, type != "string" {
            anomalies.append(Anomaly(.wrongType, "\(lock) is no string, so it is no lock of RedBeat's; delete it"))
        } else if timeToLive != -2 {
            reading.lock = RedBeatReading.Lock(
                token: nil,
                timeToLive: timeToLive < 0 ? nil : Double(timeToLive) / 1000,
                idle: idleTimes.trusted(replies[0].integer, at: time)
            )
            if timeToLive < 0 {
                anomalies.append(
                    Anomaly(.malformed, "\(lock) has no end, so no beat set it and none can take it; delete it")
                )
            }
        }
        let end = reading.lock.map { time + ($0.timeToLive ?? 0) } ?? -.infinity
        if reading.lock != nil, let lockEnd, abs(end - lockEnd) > Self.endTolerance {
            let owner = try client.pipeline([RedisCommand("GETRANGE", lock, 0, 63)])[0]
            guard let token = owner.text else { throw server("GETRANGE \(lock): \(owner.error ?? "no text")") }
            // Empty where the lock was released between the two questions.
            reading.lock?.token = token.isEmpty ? nil : token
        }
        lockEnd = end
        reading.entryCount = Int(try integer(replies[4], of: "ZCARD \(keys.schedule)"))
        if try integer(replies[6], of: "EXISTS \(keys.statics)") > 0 { isDetected = true }
        guard let flat = replies[5].array else { throw server(replies[5].error ?? "ZRANGE returned no list") }
        let members = stride(from: 0, to: flat.count - 1, by: 2).compactMap { index in
            flat[index].bytes.map { Member(key: $0, score: flat[index + 1].number ?? 0) }
        }
        return (reading, members)
    }

    private func readUnlocked() throws(RedisError) -> (RedBeatReading, [Member]) {
        let replies = try client.pipeline(
            [
                RedisCommand("OBJECT", "IDLETIME", keys.schedule),
                RedisCommand("TIME"),
                RedisCommand("EXISTS", keys.schedule),
                RedisCommand("INFO", "persistence"),
                RedisCommand("INFO", "stats"),
            ] + scan.commands
        )
        let time = try self.time(replies[1])
        var reading = RedBeatReading(time: time)
        reading.hasScores = false
        reading.scheduleIdle = replies[0].integer.map { Double($0) }
        idleTimes.observe(ServerInformation(replies[3], replies[4]))
        reading.isIdleUnreliable = !idleTimes.areReliable
        try scan.advance(Array(replies[5...])) { message in server(message) }
        let exists = try integer(replies[2], of: "EXISTS \(keys.schedule)") > 0
        if exists { isDetected = true }
        return (reading, exists ? scan.members.map { Member(key: $0, score: 0) } : [])
    }

    // MARK: Entries

    /// Reads the entries of `members` that may have changed and forgets those that are gone.
    private func refresh(
        _ members: inout [Member],
        at time: Double,
        hasScores: Bool,
        anomalies: inout [Anomaly]
    ) throws(RedisError) {
        let present = Set(members.map(\.key))
        if entries.count > present.count || hasScores { entries = entries.filter { present.contains($0.key) } }
        var stale: [Member] = []
        for (index, member) in members.enumerated() {
            let isInTurn = (index - rotation + members.count) % members.count < Self.rotationSize
            let isChanged = entries[member.key].map { hasScores ? $0.score != member.score : true } ?? true
            if isChanged || isInTurn { stale.append(member) }
        }
        rotation = members.isEmpty ? 0 : (rotation + Self.rotationSize) % members.count
        guard !stale.isEmpty else { return }

        let lengths = try client.pipeline(
            stale.flatMap {
                [RedisCommand("HSTRLEN", $0.key, "definition"), RedisCommand("HSTRLEN", $0.key, "meta")]
            }
        )
        var batch: [Member] = []
        var batchBytes = 0
        for (index, member) in stale.enumerated() {
            let definition = lengths[2 * index]
            let meta = lengths[2 * index + 1].integer ?? 0
            guard let length = definition.integer else {
                if hasScores {
                    note(nil, for: member, .wrongType, "is no hash, so beat cannot load it", &anomalies)
                } else {
                    scan.remove(member.key)
                    entries[member.key] = nil
                }
                continue
            }
            guard length > 0 || hasScores else {
                scan.remove(member.key)
                entries[member.key] = nil
                continue
            }
            guard length <= RedBeatEntry.maximumFieldBytes, meta <= RedBeatEntry.maximumFieldBytes else {
                note(
                    nil,
                    for: member,
                    .overLimit,
                    "has a field of over \(RedBeatEntry.maximumFieldBytes) bytes",
                    &anomalies
                )
                continue
            }
            batch.append(member)
            batchBytes += Int(length + meta)
            // The rest is read at the next collection.
            if batchBytes > Self.batchBytes { break }
        }
        try read(batch, at: time, &anomalies)
    }

    private func read(_ batch: [Member], at time: Double, _ anomalies: inout [Anomaly]) throws(RedisError) {
        guard !batch.isEmpty else { return }
        let replies = try client.pipeline(batch.map { RedisCommand("HMGET", $0.key, "definition", "meta") })
        for (member, reply) in zip(batch, replies) {
            let fields = reply.array ?? []
            let entry = fields.first?.bytes.flatMap {
                RedBeatEntry(definition: $0, meta: fields.last?.bytes, at: time, known: entries[member.key]?.content)
            }
            let zone = entry == nil ? fields.last?.bytes.flatMap { RedBeatEntry.unknownZone(inMeta: $0) } : nil
            let problem = zone.map { "is in the time zone \"\($0)\", which this system does not have" }
            note(entry, for: member, zone == nil ? .malformed : .timeZone, problem ?? "cannot be decoded", &anomalies)
        }
    }

    /// Keeps what was read; an entry that has become unreadable is told once.
    private func note(
        _ content: RedBeatEntry?,
        for member: Member,
        _ kind: Anomaly.Kind,
        _ problem: String,
        _ anomalies: inout [Anomaly]
    ) {
        if content == nil, entries[member.key]?.content != nil || entries[member.key] == nil {
            let key = String(decoding: member.key, as: UTF8.self)
            let advice = kind == .timeZone ? TimeZone.installation : "mend or delete it"
            anomalies.append(Anomaly(kind, "schedule entry \(key) \(problem); \(advice)"))
        }
        entries[member.key] = RedBeatReading.Entry(key: member.key, score: member.score, content: content)
    }

    // MARK: Replies

    private func time(_ reply: RedisValue) throws(RedisError) -> Double {
        guard let parts = reply.array, parts.count == 2, let seconds = parts[0].integer, let micros = parts[1].integer
        else { throw server(reply.error ?? "TIME returned no time") }
        return Double(seconds) + Double(micros) / 1e6
    }

    private func integer(_ reply: RedisValue, of command: String) throws(RedisError) -> Int64 {
        guard let value = reply.integer else { throw server("\(command): \(reply.error ?? "no number")") }
        return value
    }

    private func server(_ message: String) -> RedisError {
        .server(address: client.address.redacted, message: message)
    }
}
