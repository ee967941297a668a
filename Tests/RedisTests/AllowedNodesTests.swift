import Testing

@testable import Redis

@Suite struct AllowedNodesTests {
    @Test(arguments: [
        ("redis-1.internal", ["redis-1.internal:1", "redis-1.internal:6379", "REDIS-1.internal.:65535"]),
        ("redis-1.internal:6379", ["redis-1.internal:6379"]),
        ("Redis-1.Internal.:1", ["redis-1.internal:1"]),
        ("*.internal", ["redis-1.internal:1", "redis-1.internal:6379", "REDIS-1.internal.:65535"]),
        ("10.0.0.0/8", ["10.0.0.0:1", "10.255.255.255:6379", "[::ffff:10.1.2.3]:1"]),
        ("10.255.255.254/31:6379", ["10.255.255.255:6379"]),
        ("10.0.0.0", ["10.0.0.0:1"]),
        ("::ffff:10.1.2.0/120", ["[::ffff:10.1.2.3]:1"]),
        ("2001:db8::/33", ["[2001:db8::1]:1"]),
        ("[2001:db8::]", []),
        ("[2001:db8::1]:1", ["[2001:db8::1]:1"]),
        ("[2001:db8::/32]:6379", ["[2001:db8:ffff::1]:6379"]),
        ("0.0.0.0/0", ["10.0.0.0:1", "10.255.255.255:6379", "11.0.0.0:1", "[::ffff:10.1.2.3]:1"]),
        ("::/0", ["[2001:db8::1]:1", "[2001:db8:ffff::1]:6379"]),
        ("11.0.0.0/8, redis-1.internal:6379\n,*.x", ["redis-1.internal:6379", "11.0.0.0:1"]),
        // The system would take these for addresses.
        ("10.0.0.0/8,*.10", ["10.0.0.0:1", "10.255.255.255:6379", "[::ffff:10.1.2.3]:1"]),
    ])
    func holds(list: String, places: [String]) throws {
        let nodes = try #require(AllowedNodes(list))
        #expect(Self.endpoints.filter { nodes.contains($0) }.map(\.text) == places)
    }

    private static let endpoints: [RedisEndpoint] = [
        .tcp(host: "redis-1.internal", port: 1), .tcp(host: "redis-1.internal", port: 6379),
        .tcp(host: "REDIS-1.internal.", port: 65_535), .tcp(host: "internal", port: 1),
        .tcp(host: "redis-1.internal.evil.example", port: 6379), .tcp(host: "10.0.0.0", port: 1),
        .tcp(host: "10.255.255.255", port: 6379), .tcp(host: "11.0.0.0", port: 1), .tcp(host: "10.1", port: 1),
        .tcp(host: "167837955", port: 1), .tcp(host: "0x0a010203", port: 1), .tcp(host: "::ffff:10.1.2.3", port: 1),
        .tcp(host: "2001:db8::1", port: 1), .tcp(host: "2001:db8:ffff::1", port: 6379),
        .unix(path: "/run/redis.sock"),
    ]

    @Test func anyOfTheNetwork() throws {
        let nodes = try #require(AllowedNodes("*"))
        #expect(Self.endpoints.filter { !nodes.contains($0) } == [.unix(path: "/run/redis.sock")])
    }

    @Test(arguments: [
        "", ",", "a,,b", "a:", "a:0", "a:65536", "a:x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/",
        "a/8", "*a", "a*", "*.", "**", "[::1", "[::1]6379", "::1/129", "::ffff:10.1.2.0/24", "redis://a", "a@b",
        "a\u{0}b", "ä",
        "*.a\u{0}",
        Array(repeating: "a", count: 1001).joined(separator: ","), String(repeating: "a", count: 256),
    ])
    func isRefused(list: String) {
        #expect(AllowedNodes(list) == nil)
    }

    /// What an address itself names needs no list.
    @Test func theAddressIsAllowed() throws {
        var address = try RedisAddress(url: "redis-cluster://a:1,b:2")
        func allowed() -> [RedisEndpoint] {
            [.tcp(host: "a", port: 1), .tcp(host: "b", port: 2), .tcp(host: "b", port: 1), .tcp(host: "c", port: 1)]
                .filter { address.allows($0) }
        }
        #expect(allowed().map(\.text) == ["a:1", "b:2", "b:1", "c:1"])
        address.allowedNodes = AllowedNodes("c")
        #expect(allowed().map(\.text) == ["a:1", "b:2", "c:1"])
        address.servers = .sentinels(RedisSentinels(endpoints: [.tcp(host: "a", port: 1)]))
        #expect(allowed().map(\.text) == ["a:1", "c:1"])
        address.servers = .single(.tcp(host: "b", port: 2))
        #expect(allowed().map(\.text) == ["b:2", "c:1"])
    }

    @Test(arguments: [
        ("sentinel://:s@a", true), ("redis-cluster://:s@a", true), ("sentinel://a", false), ("redis://:s@a", false),
        ("redis-cluster://:s@a?ssl_cert_reqs=required", false), ("redis://:s@a;redis://:s@b", false),
    ])
    func passwordsInClear(url: String, follow: Bool) throws {
        var address = try RedisAddress(url: url)
        #expect(address.passwordFollowsServers == follow)
        address.allowedNodes = AllowedNodes("a")
        #expect(!address.passwordFollowsServers)
    }

    @Test(arguments: [
        ("redis-1", true), ("::1", true), ("", false), ("a b", false), ("evil.example\u{0}.internal", false),
        ("a\n", false), ("ä", false), (String(repeating: "a", count: 256), false),
    ])
    func announcedHosts(host: String, isHost: Bool) {
        #expect((RedisEndpoint(announcedHost: host, port: 1) != nil) == isHost)
        #expect(RedisEndpoint(announcedHost: host, port: 0) == nil)
    }
}
