package import Reading
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
package final class QueueReader: Reader {
    private let client: RedisClient
    private let configuration: QueueConfiguration
    private let readScheduledQueues: () -> [Scheduler: Set<String>]
    /// By scheduler: a schedule that cannot be read now still names its queues.
    private var scheduledQueues: [Scheduler: Set<String>] = [:]
    private var discovered = BindingScan()
    private var priorityUse = PriorityUse()

    /// Where there are more queues than are reported, this many times their number is looked at for those with messages.
    private static let candidatesPerQueue = 4

    /// - Parameter scheduledQueues: the queues that entries name, by scheduler, as far as they are known now.
    package init(
        client: RedisClient,
        configuration: QueueConfiguration,
        scheduledQueues: @escaping () -> [Scheduler: Set<String>]
    ) {
        self.client = client
        self.configuration = configuration
        readScheduledQueues = scheduledQueues
    }

    /// The state is preliminary until the search for bindings has been through all keys.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<QueueState> {
        do throws(RedisError) {
            var problems: [SourceProblem] = []
            let state = try readQueues(until: deadline, &problems)
            return Reading(
                state,
                problems: problems,
                advice: [client.failoverAdvice].compactMap(\.self),
                isPreliminary: discovered.isUnderWay
            )
        } catch { throw SourceError(error) }
    }

    private func readQueues(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> QueueState {
        scheduledQueues.merge(readScheduledQueues()) { $1 }
        if configuration.discovers { try discover(until: deadline, &problems) }

        let names = self.names
        let keys = configuration.keys
        let steps = keys.prioritySteps
        let replies = try client.pipeline(
            [
                RedisCommand("HLEN", keys.unacked),
                RedisCommand("ZRANGE", keys.unackedIndex, 0, 0, "WITHSCORES"),
            ]
                + names.flatMap { name in
                    steps.map { RedisCommand("LLEN", keys.list(queue: name, priority: $0)) }
                },
            until: deadline
        )
        let unacked = try lengthOrProblem(replies[0], of: keys.unacked, &problems)
        var queues: [QueueDepth] = []
        for (index, name) in names.enumerated() {
            var depths: [PriorityDepth] = []
            for (offset, step) in steps.enumerated() {
                let reply = replies[2 + index * steps.count + offset]
                guard let length = try lengthOrProblem(reply, of: keys.list(queue: name, priority: step), &problems)
                else {
                    break
                }
                depths.append(PriorityDepth(priority: step, length: length))
            }
            // A queue of which one part cannot be read would be reported too short.
            guard depths.count == steps.count else { continue }
            let usesPriorities = priorityUse.observe(depths, of: name, at: .now)
            queues.append(QueueDepth(name: name, priorities: depths, usesPriorities: usesPriorities))
        }
        priorityUse.forget(allBut: names)
        return QueueState(
            queues: select(queues, &problems).sorted { $0.name < $1.name },
            unacked: unacked,
            oldestUnacked: try oldestOrProblem(replies[1], of: keys.unackedIndex, &problems),
            visibilityTimeout: configuration.visibilityTimeout
        )
    }

    private var scheduledNames: Set<String> { scheduledQueues.values.reduce(into: []) { $0.formUnion($1) } }

    /// Queues that are told of whatever they hold.
    private var wanted: Set<String> {
        Set(configuration.names).union(configuration.discovers ? scheduledNames : [])
    }

    /// Queues to look at, the most important first.
    private var names: [String] {
        var names = configuration.names
        if configuration.discovers {
            names += scheduledNames.sorted()
            names += discovered.queues.sorted { ($0.value ? 1 : 0, $0.key) < ($1.value ? 1 : 0, $1.key) }.map(\.key)
        }
        var seen: Set<String> = []
        names = names.filter { seen.insert($0).inserted }
        return Array(names.prefix(Self.candidatesPerQueue * configuration.maximumQueues))
    }

    /// Those of the queues, in the order of `names`, that are reported: what one worker alone took messages from, and left
    /// behind empty, is no queue any more. Of too many the wanted come first, then those with messages.
    private func select(_ queues: [QueueDepth], _ problems: inout [SourceProblem]) -> [QueueDepth] {
        let wanted = self.wanted
        var (first, full, empty): ([QueueDepth], [QueueDepth], [QueueDepth]) = ([], [], [])
        for queue in queues {
            if wanted.contains(queue.name) {
                first.append(queue)
            } else if queue.length > 0 {
                full.append(queue)
            } else if discovered.queues[queue.name] != true {
                empty.append(queue)
            }
        }
        let all = first + full + empty
        let limit = configuration.maximumQueues
        guard all.count > limit else { return all }
        let rest =
            "the rest is not reported; those of --queues, those in the schedule and those with messages come first"
        problems.append(SourceProblem(.overLimit, "more than \(limit) queues; \(rest)"))
        return Array(all.prefix(limit))
    }

    /// Goes on looking for bindings.
    private func discover(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) {
        let keys = configuration.keys
        let now = ContinuousClock.now
        let limit = Self.candidatesPerQueue * configuration.maximumQueues
        guard discovered.isDue(at: now) else { return }
        let reply = try client.pipeline([discovered.command(keys)], until: deadline)[0]
        guard let page = ScanPage(reply) else { throw client.serverError(reply.error ?? "SCAN returned no page") }
        if let omission = page.omission(of: "the search for \(keys.bindingPrefix)*") {
            problems.append(SourceProblem(.overLimit, omission))
        }
        let bindings = page.elements.filter { key in
            let exchange = String(decoding: key.dropFirst(keys.bindingPrefix.utf8.count), as: UTF8.self)
            return KombuKeys.carriesTasks(exchange: exchange)
        }
        let replies = try client.pipeline(
            bindings.map { RedisCommand("SRANDMEMBER", $0, limit) },
            until: deadline
        )
        var found: [String: Bool] = [:]
        for (key, reply) in zip(bindings, replies) {
            found.merge(queues(boundBy: key, reply, &problems)) { $0 && $1 }
        }
        discovered.note(found, page: page, at: now, limit: limit)
    }

    /// The queues of one set of bindings, by name: whether it is one worker's own.
    private func queues(boundBy key: [UInt8], _ reply: RedisValue, _ problems: inout [SourceProblem]) -> [String: Bool]
    {
        let name = SourceProblem.name(key)
        guard let members = reply.array else {
            problems.append(
                reply == .omitted
                    ? SourceProblem(.overLimit, "\(name) has more bindings than are read, so its queues are left out")
                    : SourceProblem(.wrongType, "\(name) is no set, so it holds no bindings of kombu's")
            )
            return [:]
        }
        if members.contains(.omitted) {
            problems.append(
                SourceProblem(.overLimit, "\(name) has a binding that is too long, and is left out; delete it")
            )
        }
        let keys = configuration.keys
        let exchange = String(decoding: key.dropFirst(keys.bindingPrefix.utf8.count), as: UTF8.self)
        var found: [String: Bool] = [:]
        var malformed = 0
        for member in members.compactMap(\.bytes) {
            // A label cannot hold other bytes, and another name would be another queue's.
            guard let text = String(validating: member, as: UTF8.self) else {
                malformed += 1
                guard malformed <= Self.maximumMalformed else { continue }
                let binding = SourceProblem.name(member)
                problems.append(
                    SourceProblem(.malformed, "the queue of binding \(binding) is not UTF-8, and is left out")
                )
                continue
            }
            guard let queue = keys.queue(ofBinding: text) else { continue }
            found[queue] = KombuKeys.isOneWorkersOwn(queue: queue, exchange: exchange)
        }
        return found
    }

    /// Bindings of one set that are named although they cannot be decoded.
    private static let maximumMalformed = 10

    /// The length; nil, and a problem, where the key has the wrong type.
    private func lengthOrProblem(
        _ reply: RedisValue,
        of key: String,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> Int? {
        if let length = reply.length { return length }
        try note(reply, of: key, &problems)
        return nil
    }

    /// The score of the first member, if there is one; nil, and a problem, where the key has the wrong type.
    private func oldestOrProblem(
        _ reply: RedisValue,
        of key: String,
        _ problems: inout [SourceProblem]
    ) throws(RedisError) -> Double? {
        guard let first = reply.array else {
            try note(reply, of: key, &problems)
            return nil
        }
        if first.contains(.omitted) {
            problems.append(
                SourceProblem(.overLimit, "\(key) has a member that is too long, and is left out; delete it")
            )
        }
        guard first.count == 2 else { return nil }
        if first[1].moment == nil {
            problems.append(SourceProblem(.malformed, "the oldest member of \(key) has a score that is no time"))
        }
        return first[1].moment
    }

    /// What is wrong with one key; throws where more is.
    private func note(_ reply: RedisValue, of key: String, _ problems: inout [SourceProblem]) throws(RedisError) {
        if let message = reply.error, !message.hasPrefix("WRONGTYPE") { throw client.serverError("\(key): \(message)") }
        problems.append(
            reply.error == nil
                ? SourceProblem(.malformed, "what is told of \(key) is no number, so it is left out")
                : SourceProblem(.wrongType, "\(key) is not what kombu keeps under that name, so it is left out")
        )
    }
}
