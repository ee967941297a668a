import LyingRedis
import Synchronization
import Testing

@testable import Redis

/// Replies of which more is sent than is kept.
@Suite struct ReplyBoundsTests {
    private let limits = RedisLimits(timeout: .seconds(60), replyBytes: 64_000, replyElements: 100)

    private func pipeline(
        _ answers: [Reply],
        _ commands: [RedisCommand]? = nil,
        limits: RedisLimits? = nil
    ) throws(RedisError) -> [RedisValue] {
        try pipeline(
            answers.flatMap(\.bytes),
            commands ?? answers.map { _ in RedisCommand("GET", "k") },
            limits: limits
        )
    }

    /// What a server says that answers the first of some commands with these bytes and the others not at all.
    private func pipeline(
        _ bytes: [UInt8],
        _ commands: [RedisCommand] = [RedisCommand("GET", "k")],
        limits: RedisLimits? = nil
    ) throws(RedisError) -> [RedisValue] {
        let server = LyingRedis { command in
            command[0] == "CLIENT" ? .status("OK") : .raw(command.last == "k" ? bytes : [])
        }
        let rest = commands.dropFirst().map { _ in RedisCommand("GET", "others") }
        let asked = zip(commands, [commands[0]] + rest).map { $1.expecting(bytes: $0.expectedBytes) }
        let address = RedisAddress(servers: .single(.unix(path: server.path)))
        let limits = limits ?? self.limits
        return try RedisClient(address: address, limits: limits).pipeline(asked, until: .now + limits.timeout)
    }

    private func text(_ text: String) -> RedisValue { .string(Array(text.utf8)) }

    @Test func longStringsAreLeftOutAlone() throws {
        let replies = try pipeline([
            ["a", .long(1001), "b", .long(9 << 20), nil, .error("ERR no"), [.long(70 << 20), 1]], .long(2000), "c",
        ])
        let inner: [RedisValue] = [.omitted, .integer(1)]
        let list: [RedisValue] = [
            text("a"), .omitted, text("b"), .omitted, .null, .error("ERR no"), .array(inner),
        ]
        #expect(replies == [.array(list), .omitted, text("c")])
    }

    /// Many that are long leave room for what is short.
    @Test func whatIsKeptIsBounded() throws {
        let long = Reply.list(Array(repeating: .long(900), count: 97))
        let values = try #require(try pipeline([long, ["a", "b"]]).map(\.array) as? [[RedisValue]])
        let kept = values[0].prefix { $0 != .omitted }
        #expect((1...8).contains(kept.count) && values[0].dropFirst(kept.count).allSatisfy { $0 == .omitted })
        #expect(values[1] == [text("a"), text("b")])
    }

    @Test func whatIsExpectedIsKept() throws {
        let commands = [200_000, 0, 100_000].map { RedisCommand("GET", "k").expecting(bytes: $0) }
        let replies = try pipeline([[.long(199_999), "a"], [.long(2000)], [.long(60_000), .long(60_000)]], commands)
        func lengths(_ reply: RedisValue) -> [Int?]? { reply.array?.map { $0.bytes?.count } }
        #expect(replies.map(lengths) == [[199_999, 1], [nil], [60_000, nil]])
    }

    @Test func listsOfTooManyElementsAreLeftOutAlone() throws {
        let many = Reply.list(Array(repeating: 1, count: 101))
        let few = Reply.list(Array(repeating: 2, count: 60))
        let replies = try pipeline([many, few, [1, many, [[]], "a"], few, 3, []])
        let twos = RedisValue.array(Array(repeating: .integer(2), count: 60))
        let mixed = RedisValue.array([.integer(1), .omitted, .array([.array([])]), text("a")])
        #expect(replies == [.omitted, twos, mixed, .omitted, .integer(3), .array([])])
    }

    @Test func textsOfErrorsAreCut() throws {
        let replies = try pipeline([.error(String(repeating: "e", count: 60_000)), 1])
        #expect(replies == [.error(String(repeating: "e", count: 1000)), .integer(1)])
    }

    @Test(arguments: [
        String(repeating: "*1\r\n", count: 100_000), "*2147483647\r\n" + String(repeating: "*1\r\n", count: 10),
        "+" + String(repeating: "x", count: 100_000), "$" + String(repeating: "1", count: 100),
        "*" + String(repeating: "1", count: 100_000), "$9223372036854775807\r\n", "$1x\r\n", "?\r\n",
        "*99999999999\r\n",
    ])
    func whatIsNoReplyEndsTheConnection(text: String) {
        let error = #expect(throws: RedisError.self) { try pipeline(Array(text.utf8)) }
        guard case .connectionLost = error else {
            Issue.record("expected a lost connection, got \(String(describing: error))")
            return
        }
    }

    @Test func allThatIsSentIsBounded() {
        let limits = RedisLimits(timeout: .seconds(60), receivedBytes: 1 << 20)
        let error = #expect(throws: RedisError.self) { try pipeline([.long(2 << 20)], limits: limits) }
        guard case .replyTooLarge(_, 1_048_576) = error else {
            Issue.record("expected too large a reply, got \(String(describing: error))")
            return
        }
    }

    /// Whoever sends all the time never makes us wait.
    @Test(arguments: ["*2147483647\r\n", "*2147483647\r\n*2147483647\r\n"])
    func theTimeIsBounded(start: String) {
        let elements = Array(Array(repeating: ":1\r\n".utf8, count: 100_000).joined())
        let sent = Mutex(0)
        // Each command brings more of the same reply, as fast as it is taken.
        let server = LyingRedis { command in
            if command[0] == "CLIENT" { return .status("OK") }
            sent.withLock { $0 += 1 }
            return .raw(command[1] == "0" ? Array(start.utf8) : elements)
        }
        let address = RedisAddress(servers: .single(.unix(path: server.path)))
        let client = RedisClient(address: address, limits: RedisLimits(timeout: .seconds(1)))
        #expect(throws: RedisError.timeout(address: address.redacted, after: .seconds(1))) {
            try client.pipeline((0..<2500).map { RedisCommand("GET", $0) }, until: .now + .seconds(1))
        }
        #expect(sent.withLock { $0 } < 2500)
    }

    /// Wherever it is cut into pieces, what goes through is the same.
    @Test func theFilterDoesNotMindPieces() throws {
        let replies: [Reply] = [
            "ab\r\n$1\r\n", [.long(40), nil, "", 5], .status("+\r"), .error("$3"), .long(41), ["a"],
        ]
        let bytes = replies.flatMap(\.bytes) + Array("=7\r\ntxt:abc\r\n+a\nb\r\n$-1\r\n$x\r\n".utf8)
        let kept = bytes.split(separator: Array(Reply.long(41).bytes)).map { Array($0) }
        let expected = kept[0] + Array("-".utf8) + LongStringFilter.mark + Array("\r\n".utf8) + kept[1]
        for first in 0...bytes.count {
            var filter = LongStringFilter()
            var passed: [UInt8] = []
            for piece in [bytes[..<first], bytes[first...]] {
                let isRedis = piece.withUnsafeBytes { piece in
                    filter.filter(piece, keeps: { $0 <= 40 }, pass: { passed += $0 })
                }
                #expect(isRedis)
            }
            #expect(passed == expected, "cut at \(first)")
        }
    }

    @Test(
        arguments: [
            (.integer(0), 0), (.integer(1 << 40), 1 << 40), (.integer(1 << 40 + 1), nil), (.integer(.min), nil),
            (.integer(-1), nil), (.integer(.max), nil), (.null, nil), (.omitted, nil), (.array([.integer(1)]), nil),
            (.string(Array("7".utf8)), 7), (.string(Array("nan".utf8)), nil), (.error("1"), nil),
        ] as [(RedisValue, Int?)]
    )
    func lengths(reply: RedisValue, length: Int?) {
        #expect(reply.length == length)
    }

    @Test(arguments: [
        ("1795221950", "5", 1_795_221_950.000005), ("0", "0", 0), ("253402300799", "999999", 253_402_300_799.999999),
        ("253402300800", "0", nil), ("-1", "0", nil), ("9223372036854775807", "0", nil), ("1", "-1", nil),
        ("1", "1000000", nil), ("1", "9223372036854775807", nil), ("nan", "0", nil), ("inf", "0", nil),
        ("1.5", "0", nil),
    ])
    func times(seconds: String, microseconds: String, time: Double?) {
        #expect(RedisValue.array([text(seconds), text(microseconds)]).time == time)
        #expect(RedisValue.array([text(seconds)]).time == nil)
    }

    @Test(arguments: [
        ("1795221950.5", 1_795_221_950.5), ("0", 0), ("nan", nil), ("inf", nil), ("-inf", nil), ("1e308", nil),
        ("-1", nil), ("253402300800", nil), ("", nil),
    ])
    func moments(text: String, moment: Double?) {
        #expect(self.text(text).moment == moment)
    }
}
