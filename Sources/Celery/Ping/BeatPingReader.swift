internal import Glibc
package import Reading
package import Redis

/// What the exporter was told of beats that answer pings.
package struct BeatPingConfiguration: Equatable, Sendable {
    /// Which nodes are beats, as a shell would match their names: `celerybeat@*`.
    package var pattern: String
    /// Tells this exporter's answers from another's.
    package var identity: String
    /// Seconds between two collections.
    package var interval: Double
    package var grace: Double
    package var keys: KombuKeys

    package init(pattern: String, identity: String, interval: Double, grace: Double, keys: KombuKeys) {
        self.pattern = pattern
        self.identity = identity
        self.interval = interval
        self.grace = grace
        self.keys = keys
    }
}

/// Asks beats whether they live, by Celery's remote control, which beats since Celery 5.7 take part in when they are told to
/// (`beat_enable_remote_control`). A beat that has not ticked for two loop intervals, at least a minute, stays silent.
/// Source: celery/beat.py, `BeatPidbox`.
///
/// The only reader that writes: it publishes the ping and removes the answers.
package final class BeatPingReader: Reader {
    private let client: RedisClient
    private let configuration: BeatPingConfiguration
    private let message: PingMessage.Address
    private let channel: String
    private let replyList: String
    private var heartbeat: Double?
    /// Beats that answered the last time: once as many have answered again there is nothing to wait for.
    private var known = 0
    private var ticket = ""
    private var round = 0

    /// Beats that are told apart.
    private static let maximumBeats = 100
    /// Pings in one collection, and seconds that each may take to be answered.
    private static let attempts = 2
    private static let answerSeconds = 1

    package init(client: RedisClient, configuration: BeatPingConfiguration) {
        self.client = client
        self.configuration = configuration
        let prefix = configuration.keys.prefix
        message = PingMessage.Address(
            pattern: configuration.pattern,
            replyKey: "celery-beat-exporter.ping.\(configuration.identity)"
        )
        // Workers and beats put the global prefix before it.
        replyList = prefix + message.replyKey
        channel = "\(prefix)/\(client.address.database).celery.pidbox"
    }

    /// Which beats live now; nothing where pings are not permitted, which leaves all else that the broker tells.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> {
        // Beats have their time to answer besides the server's.
        let deadline = deadline + .seconds(Self.attempts * Self.answerSeconds)
        do throws(RedisError) { return try ping(until: deadline) } catch { throw SourceError(error) }
    }

    private func ping(until deadline: ContinuousClock.Instant) throws(RedisError) -> Reading<BeatState> {
        var answers = 0
        var asked = 0.0
        for _ in 0..<Self.attempts where answers == 0 {
            do {
                (answers, asked) = try ask(until: deadline)
            } catch .server(_, let message) where message.hasPrefix("NOPERM") {
                let grant = "+del +lrange +brpop ~\(replyList) +publish &\(channel)"
                return Reading(
                    nil,
                    problems: [SourceProblem(.permission, "a ping needs ACL SETUSER … \(grant): \(message)")]
                )
            }
        }
        known = answers
        if answers > 0 { heartbeat = asked }
        let wait = Double(Self.attempts * Self.answerSeconds)
        let state = BeatState(
            time: asked,
            isUp: answers > 0,
            heartbeat: heartbeat,
            deadline: heartbeat.map { $0 + configuration.interval + wait },
            instances: answers,
            grace: configuration.grace
        )
        return Reading(state)
    }

    /// Sends one ping and waits for the answers: how many came, and when the ping was sent by Redis's clock.
    private func ask(until deadline: ContinuousClock.Instant) throws(RedisError) -> (answers: Int, asked: Double) {
        let lastTicket = ticket
        round += 1
        ticket = "\(configuration.identity)-\(getpid())-\(round)"
        let replies = try client.pipeline(
            [
                RedisCommand("TIME"),
                RedisCommand("LRANGE", replyList, 0, Self.maximumBeats - 1),
                RedisCommand("DEL", replyList),
                RedisCommand("PUBLISH", channel, PingMessage.envelope(message, ticket: ticket)),
            ],
            until: deadline
        )
        for reply in replies { try refuse(reply) }
        guard let asked = replies[0].time else {
            throw client.serverError("TIME returned no time")
        }
        // Who answered the last ping too late will answer this one.
        let late = (replies[1].array ?? []).count { isAnswer($0, to: lastTicket) }

        var answers = 0
        let end = ContinuousClock.now + .seconds(Self.answerSeconds)
        // Others may have pushed to the list, too.
        for _ in 0..<2 * Self.maximumBeats {
            guard answers < max(1, min(known + late, Self.maximumBeats)), ContinuousClock.now < end else { break }
            let reply = try client.pipeline([RedisCommand("BRPOP", replyList, Self.answerSeconds)], until: deadline)[0]
            try refuse(reply)
            guard let answer = reply.array?.last else { break }
            if isAnswer(answer, to: ticket) { answers += 1 }
        }
        return (answers, asked)
    }

    private func isAnswer(_ reply: RedisValue, to ticket: String) -> Bool {
        reply.bytes.map { PingMessage.ticket(ofAnswer: $0, to: message) == ticket } ?? false
    }

    private func refuse(_ reply: RedisValue) throws(RedisError) {
        if let error = reply.error { throw client.serverError(error) }
    }
}
