import LyingRedis
import Redis
import Testing

/// Sentinels and nodes that lead to where no password may go.
@Suite struct LedAstrayTests {
    /// Where a password must not come to.
    private let stranger = LyingRedis { _ in "OK" }

    private func error(_ servers: RedisAddress.Servers, allowing nodes: String?) -> RedisError? {
        var address = RedisAddress(servers: servers, password: "secret")
        address.allowedNodes = nodes.flatMap { AllowedNodes($0) }
        let client = RedisClient(address: address, limits: RedisLimits(timeout: .seconds(60)))
        return #expect(throws: RedisError.self) {
            try client.pipeline([RedisCommand("GET", "key")], until: .now + .seconds(60))
        }
    }

    private func refusal(by origin: String) -> RedisError {
        .notAllowed(address: "redis://127.0.0.1:\(stranger.port)/0", origin: "\(origin) names this address")
    }

    @Test func bySentinels() {
        let place: Reply = ["127.0.0.1", .integer(Int64(stranger.port))]
        let sentinel = LyingRedis { command in command[0] == "SENTINEL" ? place : "OK" }
        let endpoint = RedisEndpoint.tcp(host: "127.0.0.1", port: sentinel.port)
        let servers = RedisAddress.Servers.sentinels(RedisSentinels(endpoints: [endpoint], master: "m"))
        #expect(error(servers, allowing: "10.0.0.0/8,*.internal") == refusal(by: "the sentinel \(endpoint.text)"))
        #expect(stranger.connections == 0)
        // It is no master, but it was asked.
        guard case .server = error(servers, allowing: "127.0.0.0/8") else {
            Issue.record("it was not asked")
            return
        }
        #expect(stranger.connections == 1)
    }

    @Test(arguments: ["SLOTS", "MOVED", "ASK"])
    func byNodes(means: String) {
        let node = LyingRedis()
        let own: Reply = ["127.0.0.1", .integer(Int64(node.port))]
        let strangers: Reply = ["127.0.0.1", .integer(Int64(stranger.port))]
        let owner = means == "SLOTS" ? strangers : own
        let redirection = Reply.error("\(means) 12539 127.0.0.1:\(stranger.port)")
        node.answer { command in
            switch command[0] {
            case "CLUSTER": [[0, 16_383, owner]]
            case "GET": redirection
            default: "OK"
            }
        }
        let servers = RedisAddress.Servers.cluster([.tcp(host: "127.0.0.1", port: node.port)])
        #expect(error(servers, allowing: "localhost") == refusal(by: "the cluster"))
        #expect(stranger.connections == 0)
    }

    /// A host that ends at a zero byte for the system would seem to be allowed.
    @Test func byAHostThatIsNone() {
        let sentinel = LyingRedis { command in
            command[0] == "SENTINEL" ? ["127.0.0.1\u{0}.internal", 1] : "OK"
        }
        let endpoint = RedisEndpoint.tcp(host: "127.0.0.1", port: sentinel.port)
        let servers = RedisAddress.Servers.sentinels(RedisSentinels(endpoints: [endpoint], master: "m"))
        #expect(
            error(servers, allowing: "*.internal")
                == .server(
                    address: "redis://\(endpoint.text)/0",
                    message: "the sentinel knows no master named m; give the name it is monitored by"
                )
        )
    }

    /// Each of a list of brokers may be reached through sentinels of its own.
    @Test func inAList() {
        let place: Reply = ["127.0.0.1", .integer(Int64(stranger.port))]
        let sentinel = LyingRedis { command in command[0] == "SENTINEL" ? place : "OK" }
        let endpoint = RedisEndpoint.tcp(host: "127.0.0.1", port: sentinel.port)
        var address = RedisAddress(servers: .single(.unix(path: "/nonexistent/redis.sock")))
        address.alternates = [
            RedisAddress(
                servers: .sentinels(RedisSentinels(endpoints: [endpoint], master: "m")),
                password: "secret"
            )
        ]
        address.alternates[0].allowedNodes = AllowedNodes("10.0.0.0/8")
        let client = RedisClient(address: address, limits: RedisLimits(timeout: .seconds(60)))
        let error = #expect(throws: RedisError.self) {
            try client.pipeline([RedisCommand("GET", "key")], until: .now + .seconds(60))
        }
        #expect(error == refusal(by: "the sentinel \(endpoint.text)"))
        #expect(stranger.connections == 0)
    }
}
