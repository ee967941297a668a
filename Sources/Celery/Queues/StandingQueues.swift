package import Reading
package import Redis

/// Looks at which queues stand still: messages wait in them, and nobody takes any.
///
/// A worker that takes from a queue holds one of its messages at least, or takes the next. So a queue stands still where
/// its oldest message stays for a while, and no message is held by anyone or no worker is connected at all.
package struct StandingQueues {
    private let client: RedisClient
    private let keys: KombuKeys

    /// Queues that are looked at; each look reads a message of each.
    private static let maximumQueues = 10
    /// Of a longer message it is not known whether it stays.
    private static let messageBytes = 1 << 20
    /// A line of CLIENT LIST has some 300.
    private static let clientsBytes = 8 << 20

    package init(client: RedisClient, keys: KombuKeys) {
        self.client = client
        self.keys = keys
    }

    package struct Outcome: Equatable, Sendable {
        /// The queues that stand still.
        package var queues: [String] = []
        /// Whether any worker listens to Celery's remote control; nil where that is not told.
        package var hasWorkers: Bool?
    }

    /// - Parameters:
    ///   - queues: in which messages wait.
    ///   - deadline: by when all must have been answered.
    ///   - pause: waits between two looks.
    package func look(
        at queues: [String],
        until deadline: ContinuousClock.Instant,
        pause: () -> Void
    ) throws(SourceError) -> Outcome {
        do throws(RedisError) {
            return try outcome(of: queues, until: deadline, pause: pause)
        } catch { throw SourceError(error) }
    }

    private func outcome(
        of queues: [String],
        until deadline: ContinuousClock.Instant,
        pause: () -> Void
    ) throws(RedisError) -> Outcome {
        let queues = Array(queues.prefix(Self.maximumQueues))
        guard !queues.isEmpty else { return Outcome() }
        let before = try oldest(of: queues, until: deadline)
        pause()
        let after = try oldest(of: queues, until: deadline)
        let replies = try client.pipeline(
            [
                RedisCommand("HLEN", keys.unacked),
                RedisCommand("CLIENT", "LIST", "TYPE", "pubsub").expecting(bytes: Self.clientsBytes),
            ],
            until: deadline
        )
        let hasWorkers = replies[1].text.map { clients in
            clients.split(separator: "\n").contains { isWorker(client: $0) }
        }
        guard replies[0].integer == 0 || hasWorkers == false else { return Outcome(hasWorkers: hasWorkers) }
        let standing = queues.indices.filter { !before[$0].isEmpty && before[$0] == after[$0] }
        return Outcome(queues: standing.map { queues[$0] }, hasWorkers: hasWorkers)
    }

    /// The message of each priority that is next, of each queue; empty where none waits.
    private func oldest(
        of queues: [String],
        until deadline: ContinuousClock.Instant
    ) throws(RedisError) -> [[Int: [UInt8]]] {
        let steps = keys.prioritySteps
        let replies = try client.pipeline(
            queues.flatMap { queue in
                steps.map {
                    RedisCommand("LINDEX", keys.list(queue: queue, priority: $0), -1).expecting(
                        bytes: Self.messageBytes
                    )
                }
            },
            until: deadline
        )
        return queues.indices.map { index in
            var messages: [Int: [UInt8]] = [:]
            for (offset, step) in steps.enumerated() {
                if let message = replies[index * steps.count + offset].bytes { messages[step] = message }
            }
            return messages
        }
    }

    /// Whether a line of CLIENT LIST is of a connection on which a worker listens to remote control: kombu subscribes to
    /// patterns. Source: kombu/transport/redis.py, `_subscribe`.
    private func isWorker(client line: Substring) -> Bool {
        let fields = line.split(separator: " ")
        return fields.contains("db=\(client.address.database)")
            && fields.contains { $0.hasPrefix("psub=") && $0 != "psub=0" }
    }
}
