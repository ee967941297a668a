import Foundation
import Redis
import Testing

/// Against the Redis that `make test` starts and names in TEST_REDIS_URL.
@Suite(.serialized) struct RedisClientTests {
    private let address: RedisAddress

    init() throws {
        let url = try #require(
            ProcessInfo.processInfo.environment["TEST_REDIS_URL"],
            "no Redis to test against: run `make test`"
        )
        address = try RedisAddress(url: url)
    }

    private func client(timeout: Duration = .seconds(60), replyBytes: Int = 1 << 20) -> RedisClient {
        RedisClient(
            address: address,
            limits: RedisLimits(timeout: timeout, replyBytes: replyBytes)
        )
    }

    @Test func pipelineReturnsEveryKindOfReplyInOrder() throws {
        let key: [UInt8] = [0, 0xff, 0x0d, 0x0a]
        let client = client()
        let replies = try client.pipeline(
            [
                RedisCommand("DEL", key),
                RedisCommand("SET", key, [0xfe, 0] as [UInt8]),
                RedisCommand("GET", key),
                RedisCommand("LLEN", key),
                RedisCommand("GET", "absent"),
                RedisCommand("STRLEN", key),
                RedisCommand("MGET", key, "absent"),
                RedisCommand("DEL", key),
            ],
            until: .now + .seconds(60)
        )
        #expect(
            replies == [
                .integer(0),
                .string(Array("OK".utf8)),
                .string([0xfe, 0]),
                .error("WRONGTYPE Operation against a key holding the wrong kind of value"),
                .null,
                .integer(2),
                .array([.string([0xfe, 0]), .null]),
                .integer(1),
            ]
        )
        #expect(client.roundTrips == 1)
    }

    @Test func tenThousandCommandsAreOneRoundTrip() throws {
        let client = client()
        let replies = try client.pipeline((0..<10_000).map { RedisCommand("ECHO", $0) }, until: .now + .seconds(60))
        #expect(replies.map(\.integer) == (0..<10_000).map { Int64($0) })
        #expect(client.roundTrips == 1)
        #expect(try client.pipeline([], until: .now + .seconds(60)).isEmpty)
        #expect(client.roundTrips == 1)
    }

    @Test func connectsAgainWhenTheServerHasClosedTheConnection() throws {
        let client = client()
        let identifier = try #require(
            try client.pipeline([RedisCommand("CLIENT", "ID")], until: .now + .seconds(60))[0].integer
        )
        _ = try self.client().pipeline(
            [RedisCommand("CLIENT", "KILL", "ID", Int(identifier))],
            until: .now + .seconds(60)
        )
        let next = try #require(
            try client.pipeline([RedisCommand("CLIENT", "ID")], until: .now + .seconds(60))[0].integer
        )
        #expect(next != identifier)
    }

    @Test func aReplyBeyondTheLimitIsLeftOutAlone() throws {
        let client = client(replyBytes: 100_000)
        let large = [UInt8](repeating: 120, count: 1 << 20)
        let commands = [RedisCommand("GET", "large"), RedisCommand("ECHO", 7), RedisCommand("DEL", "large")]
        _ = try client.pipeline([RedisCommand("SET", "large", large)], until: .now + .seconds(60))
        #expect(try client.pipeline(commands, until: .now + .seconds(60)) == [.omitted, .string([0x37]), .integer(1)])
        _ = try client.pipeline([RedisCommand("SET", "large", large)], until: .now + .seconds(60))
        let expecting = [commands[0].expecting(bytes: large.count)] + commands[1...]
        #expect(
            try client.pipeline(expecting, until: .now + .seconds(60)) == [
                .string(large), .string([0x37]), .integer(1),
            ]
        )
    }

    @Test func aServerThatDoesNotAnswerIsATimeout() throws {
        let client = client(timeout: .seconds(3))
        _ = try client.pipeline([RedisCommand("PING")], until: .now + .seconds(60))
        #expect(throws: RedisError.timeout(address: address.redacted, after: .seconds(3))) {
            // Blocks this connection alone.
            try client.pipeline([RedisCommand("BLPOP", "never", 0)], until: .now + .seconds(3))
        }
        #expect(
            try client.pipeline([RedisCommand("PING")], until: .now + .seconds(60)) == [.string(Array("PONG".utf8))]
        )
    }

    @Test func wrongPasswordAndNoServerAreToldApart() {
        var wrong = address
        wrong.user = "nobody"
        wrong.password = "secret"
        let login = #expect(throws: RedisError.self) {
            try RedisClient(address: wrong, limits: RedisLimits(timeout: .seconds(60))).pipeline(
                [RedisCommand("PING")],
                until: .now + .seconds(60)
            )
        }
        guard case .authentication = login else {
            Issue.record("expected a refused login, got \(String(describing: login))")
            return
        }
        #expect(login?.description.contains("secret") == false)

        let nowhere = RedisAddress(servers: .single(.unix(path: "/nonexistent/redis.sock")))
        let connect = #expect(throws: RedisError.self) {
            try RedisClient(address: nowhere, limits: RedisLimits(timeout: .seconds(60))).pipeline(
                [
                    RedisCommand("PING")
                ],
                until: .now + .seconds(60)
            )
        }
        guard case .connect = connect else {
            Issue.record("expected no connection, got \(String(describing: connect))")
            return
        }
    }

    @Test func theFirstOfAListThatAnswersIsUsed() throws {
        let limits = RedisLimits(timeout: .seconds(60))
        var list = RedisAddress(servers: .single(.unix(path: "/nonexistent/a.sock")))
        list.alternates = [RedisAddress(servers: .single(.unix(path: "/nonexistent/b.sock"))), address]
        let client = RedisClient(address: list, limits: limits)
        for _ in 0..<2 {
            #expect(try client.pipeline([RedisCommand("ECHO", 7)], until: .now + .seconds(60)).map(\.integer) == [7])
        }
        #expect(client.failoverAdvice?.hasPrefix("\(address.redacted) is read, and will be until it fails") == true)
        #expect(client.failoverAdvice?.contains("unix:///nonexistent/a.sock?db=0") == true)

        var sound = address
        sound.alternates = [list.each[0]]
        let first = RedisClient(address: sound, limits: limits)
        _ = try first.pipeline([RedisCommand("PING")], until: .now + .seconds(60))
        #expect(first.failoverAdvice == nil)

        list.alternates.removeLast()
        let error = #expect(throws: RedisError.self) {
            try RedisClient(address: list, limits: limits).pipeline([RedisCommand("PING")], until: .now + .seconds(60))
        }
        let places = "unix:///nonexistent/a.sock?db=0;unix:///nonexistent/b.sock?db=0"
        #expect(error == .connect(address: places, cause: "none answers (No such file or directory)"))
    }
}
