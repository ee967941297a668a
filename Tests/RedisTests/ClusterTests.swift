import Testing

@testable import Redis

@Suite struct ClusterTests {
    /// As CLUSTER KEYSLOT answers.
    @Test(arguments: [
        ("", 0), ("123456789", 12_739), ("redbeat::lock", 15_643), ("redbeat::schedule", 4_941),
        ("redbeat::statics", 6_446), ("{redbeat}::lock", 10_856), ("{redbeat}:every second", 10_856),
        ("foo{}{bar}", 8_363), ("foo{{bar}}zap", 4_015), ("foo{bar}{zap}", 5_061), ("{bar", 4_015),
    ])
    func slots(key: String, slot: Int) {
        #expect(HashSlot.of(Array(key.utf8)) == slot)
    }

    @Test(arguments: [
        ("{redbeat}:", true), ("a{b}", true), ("redbeat:", false), ("{}a", false), ("{a", false), ("", false),
    ])
    func tags(prefix: String, isTagged: Bool) {
        #expect(HashSlot.isTagged(prefix: prefix) == isTagged)
    }

    private static let source = RedisEndpoint.tcp(host: "asked", port: 7000)

    private static func range(
        _ first: Int64,
        _ last: Int64,
        _ host: RedisValue,
        _ port: Int64,
        _ more: RedisValue...
    ) -> RedisValue {
        let replica = RedisValue.array([text("replica"), .integer(1), text("id")])
        return .array([.integer(first), .integer(last), .array([host, .integer(port), text("id")] + more), replica])
    }

    private static func texts(_ words: String...) -> RedisValue { .array(words.map(text)) }

    private static func text(_ text: String) -> RedisValue { .string(Array(text.utf8)) }

    @Test func ownersOfSlots() throws {
        let reply = RedisValue.array([
            Self.range(0, 99, Self.text("a"), 1), Self.range(100, 100, Self.text("::1"), 2),
            Self.range(16_383, 16_383, Self.text("a"), 1),
        ])
        var slots = try #require(ClusterSlots(reply, from: Self.source))
        let owners = [0, 99, 100, 101, 16_383].map { slots.owner(of: $0)?.text }
        #expect(owners == ["a:1", "a:1", "[::1]:2", nil, "a:1"])
        slots.setOwner(of: 99, to: .tcp(host: "b", port: 4))
        #expect(slots.owner(of: 99)?.text == "b:4")
        #expect(slots.nodes.map(\.text) == ["a:1", "[::1]:2", "b:4"])
        #expect(ClusterSlots().owner(of: 0) == nil)
    }

    /// Whoever tells of more nodes than a cluster can have does not make them known.
    @Test func nodesAreBounded() throws {
        let reply = RedisValue.array((0..<2000).map { Self.range($0, $0, Self.text("n\($0)"), 1) })
        let slots = try #require(ClusterSlots(reply, from: Self.source))
        #expect(slots.nodes.count == 1000)
        #expect([0, 999, 1000, 1999].map { slots.owner(of: $0)?.text } == ["n0:1", "n999:1", nil, nil])
    }

    /// What Redis 7 tells of a node, by `cluster-preferred-endpoint-type`.
    @Test(
        arguments: [
            (text("10.0.0.1"), texts("hostname", "a.example"), "10.0.0.1:1"),
            (text("a.example"), texts("ip", "10.0.0.1"), "a.example:1"),
            // `unknown-endpoint`, and a node that has not met the others.
            (.null, texts("ip", "10.0.0.1"), "asked:1"), (text(""), .array([]), "asked:1"),
            // `hostname`, and it has none.
            (text("?"), texts("ip", "10.0.0.1"), "10.0.0.1:1"), (text("?"), texts("ip", ""), "asked:1"),
            (text("?"), texts("shard", "ip", "ip", "10.0.0.1"), "10.0.0.1:1"),
            (text("?"), .array([]), nil), (text("?"), texts("ip"), nil), (text("?"), texts("ip", "?"), nil),
            (text("?"), .array([text("ip"), .null]), nil), (text("?"), .null, nil),
        ] as [(RedisValue, RedisValue, String?)]
    )
    func announcedPlaces(host: RedisValue, more: RedisValue, owner: String?) throws {
        let reply = RedisValue.array([Self.range(0, 5, host, 1, more), Self.range(6, 9, Self.text("b"), 2)])
        let slots = try #require(ClusterSlots(reply, from: Self.source))
        #expect([0, 5, 6].map { slots.owner(of: $0)?.text } == [owner, owner, "b:2"])
    }

    @Test(
        arguments: [
            .null, .error("ERR This instance has cluster support disabled"), .array([]), .array([.integer(1)]),
            .array([range(0, 16_384, text("a"), 1)]), .array([range(-1, 5, text("a"), 1)]),
            .array([range(5, 4, text("a"), 1)]), .array([range(0, 5, text("a"), 0)]),
            .array([range(0, 5, text("a"), 65_536)]), .array([.array([.integer(0), .integer(1)])]),
            .array([.array([.integer(0), .integer(1), .array([text("a")])])]),
            .array(Array(repeating: range(0, 0, text("a"), 1), count: 16_385)),
            .array([range(0, 16_383, text("a"), 1), range(5, 5, text("b"), 1)]),
        ] as [RedisValue]
    )
    func noSlots(reply: RedisValue) {
        #expect(ClusterSlots(reply, from: Self.source) == nil)
    }

    @Test(arguments: [
        ("MOVED 3999 127.0.0.1:6381", Redirection.moved(slot: 3999, to: .tcp(host: "127.0.0.1", port: 6381))),
        ("MOVED 0 :6381", .moved(slot: 0, to: .tcp(host: "asked", port: 6381))),
        ("MOVED 0 a.example:6381", .moved(slot: 0, to: .tcp(host: "a.example", port: 6381))),
        ("MOVED 0 ?:6381", .moved(slot: 0, to: nil)), ("ASK 0 ?:6381", nil), ("MOVED 0 ?:0", nil),
        ("ASK 0 :6381", .ask(.tcp(host: "asked", port: 6381))),
        ("ASK 16383 ::1:6381", .ask(.tcp(host: "::1", port: 6381))),
        ("MOVED 16384 h:1", nil), ("MOVED x h:1", nil), ("MOVED 1 h", nil), ("MOVED 1 h:0", nil),
        ("MOVED 1 h:65536", nil),
        ("ASK", nil), ("ERR no", nil), ("CLUSTERDOWN Hash slot not served", nil), ("TRYAGAIN 1 h:1", nil),
    ])
    func redirections(error: String, expected: Redirection?) {
        #expect(Redirection(.error(error), from: Self.source) == expected)
        #expect(Redirection(Self.text(error), from: Self.source) == nil)
    }

    @Test(arguments: [
        (RedisCommand("GET", "k"), "k"), (RedisCommand("OBJECT", "IDLETIME", "k"), "k"),
        (RedisCommand("HMGET", "k", "f"), "k"), (RedisCommand("TIME"), nil), (RedisCommand("INFO", "stats"), nil),
        (RedisCommand("SCAN", "0", "MATCH", "x"), nil), (RedisCommand("PUBLISH", "c", "m"), nil),
    ])
    func keys(command: RedisCommand, key: String?) {
        #expect(command.key == key.map { Array($0.utf8) })
    }
}
