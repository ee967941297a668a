import Celery
import Redis
import TLS
import Testing

@testable import Configuration

@Suite struct RedisSettingsTests {
    private func target(_ settings: [String: String]) throws -> Target {
        let arguments = settings.sorted { $0.key < $1.key }.flatMap { $1.isEmpty ? ["--\($0)"] : ["--\($0)", $1] }
        return try Configuration(flags: CommandLineArguments(arguments).flags, environment: [:]).target
    }

    private func sentinels(_ address: RedisAddress?) throws -> RedisSentinels {
        guard case .sentinels(let sentinels) = try #require(address).servers else {
            throw ConfigurationError("no sentinels in \(String(describing: address))")
        }
        return sentinels
    }

    @Test func sentinelsOfTheBroker() throws {
        let target = try target([
            "broker.url": "sentinel://h", "broker.sentinel-master": "a", "redis.sentinel-user": "u",
            "redis.sentinel-password": "p", "no-redis.sentinel-tls": "",
        ])
        var expected = RedisSentinels(endpoints: [.tcp(host: "h", port: 26379)], master: "a")
        (expected.user, expected.password, expected.usesTLS) = ("u", "p", false)
        #expect(try sentinels(target.broker?.redis) == expected)
        #expect(target.redBeatAddress == target.broker?.redis)
        #expect(!target.redBeat.isExpected)
    }

    @Test(arguments: [
        (["broker.url": "redis://h"], "master"),
        (["broker.url": "sentinel://h", "broker.sentinel-master": "a"], "a"),
        (["broker.url": "sentinel://h", "broker.sentinel-master": "a", "redbeat.sentinel-master": "b"], "b"),
    ])
    func masterOfRedBeat(settings: [String: String], master: String) throws {
        let target = try target(settings.merging(["redbeat.url": "redis-sentinel://i"]) { $1 })
        #expect(try sentinels(target.redBeatAddress).master == master)
    }

    @Test func flagsBeforeTheURL() throws {
        let url = "rediss://h?ssl_check_hostname=false"
        #expect(try target(["broker.url": url]).broker?.redis?.tls?.verification == .anyName)
        let named = try target(["broker.url": url, "redis.tls-server-name": "n", "no-redis.tls-skip-verify": ""])
        #expect(named.broker?.redis?.tls?.serverName == "n")
        #expect(named.broker?.redis?.tls?.verification == .anyName)
        #expect(named.warnings.isEmpty)

        let trusting = try target(["broker.url": url, "redis.tls-skip-verify": ""])
        #expect(trusting.broker?.redis?.tls?.verification == TLSClientConfiguration.Verification.none)
        #expect(trusting.warnings == ["rediss://h:6379/0: any certificate is taken, so others may read along"])

        let distrusting = try target(["broker.url": "rediss://h?ssl_cert_reqs=none", "no-redis.tls-skip-verify": ""])
        #expect(distrusting.broker?.redis?.tls?.verification == .full)
    }

    @Test(arguments: [("redis://h", true), ("unix:///run/redis.sock", false), ("rediss://h", false)])
    func aServerWithoutTLSIsTold(url: String, isTold: Bool) throws {
        let warnings = try target(["broker.url": url, "redis.tls-server-name": "n"]).warnings
        #expect(warnings.count { $0.contains("goes without TLS although --redis.tls-server-name") } == (isTold ? 1 : 0))
    }

    @Test(arguments: [
        (["broker.url": "sentinel://h"], "--broker.url: which master"),
        (["broker.url": "redis-cluster://h"], "--broker.url: Celery has no broker in a Redis Cluster"),
        (
            ["redbeat.url": "redis-cluster://h", "redbeat.lock-key": "none"],
            "--redbeat.lock-key: without the lock, entries"
        ),
        (
            ["broker.url": "rediss://h", "redis.tls-ca-file": "/nowhere"],
            "--redis.tls-ca-file: cannot use the CA certificates, /nowhere: No such file or directory"
        ),
        (
            ["broker.url": "rediss://h", "redis.tls-cert-file": "/dev/null"],
            "--redis.tls-cert-file: cannot use the client certificate, /dev/null: "
        ),
        (
            ["broker.url": "rediss://h", "redis.tls-key-file": "/k"],
            "--redis.tls-key-file: a key needs its certificate"
        ),
        (
            ["broker.url": "rediss://:secret@h?ssl_ca_certs=/nowhere"],
            "--broker.url: cannot use the CA certificates, /nowhere: No such file or directory"
        ),
    ])
    func refused(settings: [String: String], beginning: String) {
        let error = #expect(throws: ConfigurationError.self) { try target(settings) }
        #expect(error?.description.hasPrefix(beginning) == true, "\(error?.description ?? "")")
    }

    /// redis-py, which RedBeat uses, takes all behind the first server of a list for a path that is no number.
    @Test func ofAListRedBeatHasTheFirstServer() throws {
        let list = "redis://:s@a/2;rediss://b/2"
        let first = try RedisAddress(url: "redis://:s@a/0")
        let shared = try target(["broker.url": list, "redis.tls-server-name": "n"])
        #expect(shared.redBeatAddress == first)
        #expect(shared.broker?.redis?.each.map(\.redacted) == ["redis://a:6379/2", "rediss://b:6379/2"])
        #expect(shared.broker?.redis?.alternates.first?.tls?.serverName == "n")
        let own = try target(["broker.url": "redis://h", "redbeat.url": list])
        #expect(own.redBeatAddress == first)
        #expect(own.warnings.count == 1 && own.warnings[0].hasPrefix("--redbeat.url: RedBeat knows no lists"))
    }

    @Test func whereServersMayLead() throws {
        let list = "10.0.0.0/8,*.internal"
        let settings = [
            "broker.url": "redis://a;redis://b", "redbeat.url": "redis-cluster://:s@c", "redis.allowed-nodes": list,
        ]
        let target = try target(settings)
        let nodes = try #require(AllowedNodes(list))
        #expect(target.broker?.redis?.each.map(\.allowedNodes) == [nodes, nodes])
        #expect(target.redBeatAddress?.allowedNodes == nodes)
        #expect(target.warnings.isEmpty)
        let error = #expect(throws: ConfigurationError.self) {
            try self.target(["broker.url": "redis://a", "redis.allowed-nodes": "a b,redis://c"])
        }
        #expect(
            error?.description
                == "--redis.allowed-nodes: write hosts and networks, as in "
                + "redis-1.internal,*.redis.internal:6379,10.0.0.0/8,[2001:db8::/32]:6379"
        )
    }

    @Test(arguments: [
        (["redbeat.url": "redis-cluster://:s@c"], "redis-cluster://c:6379", "the cluster's nodes"),
        (
            ["broker.url": "sentinel://:s@a", "broker.sentinel-master": "m"], "sentinel://a:26379/0", "the sentinels"
        ),
    ])
    func passwordsThatFollowServersAreTold(settings: [String: String], address: String, leaders: String) throws {
        #expect(
            try target(settings).warnings == [
                "\(address): the password goes in clear to whatever address \(leaders) name; write ?ssl_cert_reqs=required "
                    + "for TLS, or name the addresses by --redis.allowed-nodes"
            ]
        )
        #expect(try target(settings.merging(["redis.allowed-nodes": "*"]) { $1 }).warnings.isEmpty)
        let encrypted = settings.mapValues { $0.contains("://") ? $0 + "?ssl_cert_reqs=required" : $0 }
        #expect(try target(encrypted).warnings.isEmpty)
    }

    @Test func withoutTheLockInOneSlot() throws {
        let target = try target([
            "redbeat.url": "redis-cluster://h", "redbeat.lock-key": "none", "redbeat.key-prefix": "{redbeat}:",
        ])
        #expect(target.redBeatAddress?.servers == .cluster([.tcp(host: "h", port: 6379)]))
    }
}
