internal import Reading
internal import Redis

/// The entries that RedBeat has stored, as they were last read.
///
/// They are read again only when their score has changed, and a few more in turn, since a definition can change without its
/// score.
struct StoredEntries {
    /// A member of the schedule, or what has a key like one.
    struct Member {
        let key: [UInt8]
        let score: Double
    }

    private let client: RedisClient
    private let keys: RedBeatKeys
    private var entries: [[UInt8]: Stored] = [:]
    private var rotation = 0

    private struct Stored {
        var entry: RedBeatReading.Entry
        /// Of the bytes that it was decoded from: the same bytes are not decoded again.
        var fingerprint: Int?
    }

    /// Entries read again in turn at each collection.
    private static let rotationSize = 100
    /// Bytes of entries that one collection asks for, unless one entry alone has more.
    private static let batchBytes = 8 << 20
    /// Bytes of names of entries that one collection asks for.
    private static let batchNameBytes = 2 << 20

    init(client: RedisClient, keys: RedBeatKeys) {
        self.client = client
        self.keys = keys
    }

    subscript(key: [UInt8]) -> RedBeatReading.Entry? { entries[key]?.entry }

    /// Reads the entries of `members` that may have changed and forgets those that are gone.
    ///
    /// - Parameters:
    ///   - scored: the members of the schedule; what else has such a key may be anything.
    ///   - remembered: what was a member while there was a lock.
    ///   - search: told of all members, and of what is no entry.
    mutating func refresh(
        _ members: [Member],
        scored: Set<[UInt8]>,
        remembered: [[UInt8]: Double],
        at time: Double,
        until deadline: ContinuousClock.Instant,
        _ search: inout EntrySearch,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) {
        let present = Set(members.map(\.key))
        entries = entries.filter { present.contains($0.key) }
        search.note(members.map(\.key))
        var stale: [Member] = []
        for (index, member) in members.enumerated() {
            let isInTurn = (index - rotation + members.count) % members.count < Self.rotationSize
            let isChanged =
                !scored.contains(member.key) || entries[member.key].map { $0.entry.score != member.score } ?? true
            if isChanged || isInTurn { stale.append(member) }
        }
        // The rest is read at the next collection.
        var nameBytes = 0
        stale = Array(
            stale.prefix { member in
                nameBytes += member.key.count
                return nameBytes <= Self.batchNameBytes
            }
        )
        rotation = members.isEmpty ? 0 : (rotation + Self.rotationSize) % members.count
        guard !stale.isEmpty else { return }

        let lengths = try client.pipeline(
            stale.flatMap {
                [RedisCommand("HSTRLEN", $0.key, "definition"), RedisCommand("HSTRLEN", $0.key, "meta")]
            },
            until: deadline
        )
        var batch: [(member: Member, bytes: Int)] = []
        var batchBytes = 0
        for (index, member) in stale.enumerated() {
            let definition = lengths[2 * index]
            let meta = lengths[2 * index + 1].length ?? 0
            if let message = definition.error, !message.hasPrefix("WRONGTYPE") {
                throw client.serverError("HSTRLEN: \(message)")
            }
            guard let length = definition.length, length > 0 || scored.contains(member.key) else {
                if scored.contains(member.key) {
                    noteUnreadable(
                        member,
                        .wrongType,
                        "is no hash, so beat cannot load it; fix or delete it",
                        &problems
                    )
                } else {
                    search.remove(member.key)
                    entries[member.key] = nil
                }
                continue
            }
            let limit = RedBeatEntry.maximumFieldBytes
            guard length <= limit, meta <= limit else {
                let problem = "has a field of over \(limit) bytes, which is not read: beat may run it all the same"
                noteUnreadable(member, .overLimit, problem, &problems)
                continue
            }
            batchBytes += length + meta
            // The rest is read at the next collection.
            if batchBytes > Self.batchBytes, !batch.isEmpty { break }
            batch.append((member, length + meta))
        }
        try read(batch, scored: scored, remembered: remembered, at: time, until: deadline, &search, &problems)
    }

    private mutating func read(
        _ batch: [(member: Member, bytes: Int)],
        scored: Set<[UInt8]>,
        remembered: [[UInt8]: Double],
        at time: Double,
        until deadline: ContinuousClock.Instant,
        _ search: inout EntrySearch,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) {
        guard !batch.isEmpty else { return }
        let replies = try client.pipeline(
            batch.map { RedisCommand("HMGET", $0.member.key, "definition", "meta").expecting(bytes: $0.bytes) },
            until: deadline
        )
        for ((member, _), reply) in zip(batch, replies) {
            if let message = reply.error, !message.hasPrefix("WRONGTYPE") {
                throw client.serverError("HMGET: \(message)")
            }
            let fields = reply.array ?? []
            if reply == .omitted || fields.contains(.omitted) {
                let problem = "grows while it is read, and is not read: beat may run it all the same"
                noteUnreadable(member, .overLimit, problem, &problems)
                continue
            }
            let definition = fields.first?.bytes ?? []
            // What was found by its prefix alone may be of another application whose prefix begins with ours.
            if !scored.contains(member.key), remembered[member.key] == nil,
                RedBeatEntry.isOther(definition, than: member.key, prefix: keys.prefix)
            {
                search.remove(member.key)
                entries[member.key] = nil
                continue
            }
            let meta = fields.last?.bytes
            let known = entries[member.key]
            let fingerprint = Self.fingerprint(of: definition, meta)
            let entry =
                known?.fingerprint == fingerprint
                ? known?.entry.content
                : RedBeatEntry(definition: definition, meta: meta, at: time, known: known?.entry.content)
            if let entry {
                entries[member.key] = Stored(
                    entry: RedBeatReading.Entry(key: member.key, score: member.score, content: entry),
                    fingerprint: fingerprint
                )
            } else if let zone = meta.flatMap({ RedBeatEntry.unknownZone(inMeta: $0) }) {
                noteUnreadable(member, .timeZone, SourceProblem.problem(timeZone: zone), &problems)
            } else {
                let (kind, problem) = RedBeatEntry.problem(definition: definition, meta: meta)
                noteUnreadable(member, kind, problem, &problems)
            }
        }
    }

    private static func fingerprint(of definition: [UInt8], _ meta: [UInt8]?) -> Int {
        var hasher = Hasher()
        hasher.combine(definition)
        hasher.combine(meta)
        return hasher.finalize()
    }

    /// Keeps an entry that cannot be read, which is told once.
    private mutating func noteUnreadable(
        _ member: Member,
        _ kind: ErrorReason,
        _ problem: String,
        _ problems: inout [SourceProblem]
    ) {
        if entries[member.key]?.entry.content != nil || entries[member.key] == nil {
            problems.append(SourceProblem(kind, "schedule entry \(SourceProblem.name(member.key)) \(problem)"))
        }
        let entry = RedBeatReading.Entry(key: member.key, score: member.score, content: nil)
        entries[member.key] = Stored(entry: entry, fingerprint: nil)
    }
}
