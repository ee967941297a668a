import Redis
import TLS
import Testing

@Suite struct RedisAddressTests {
    @Test(arguments: [
        ("redis://localhost", RedisAddress(servers: .host("localhost", 6379))),
        ("redis://", RedisAddress(servers: .host("localhost", 6379))),
        ("REDIS://h:7000/3", RedisAddress(servers: .host("h", 7000), database: 3)),
        ("redis://h/", RedisAddress(servers: .host("h", 6379))),
        ("redis://h?db=4", RedisAddress(servers: .host("h", 6379), database: 4)),
        (
            "redis://:p%40ss%3A@h:1/2?socket_timeout=5",
            RedisAddress(servers: .host("h", 1), password: "p@ss:", database: 2)
        ),
        (
            "redis://me:a@b@h/1",
            RedisAddress(servers: .host("h", 6379), user: "me", password: "a@b", database: 1)
        ),
        ("redis://me@h", RedisAddress(servers: .host("h", 6379), user: "me")),
        ("redis://[::1]:7000/1", RedisAddress(servers: .host("::1", 7000), database: 1)),
        ("unix:///run/redis.sock?db=2", RedisAddress(servers: .single(.unix(path: "/run/redis.sock")), database: 2)),
        (
            "redis+socket://:s@/run/redis.sock?virtual_host=/5",
            RedisAddress(servers: .single(.unix(path: "/run/redis.sock")), password: "s", database: 5)
        ),
    ])
    func understood(url: String, expected: RedisAddress) throws {
        #expect(try RedisAddress(url: url) == expected)
    }

    @Test(arguments: [
        "", "localhost:6379", "amqp://h", "http://secret@h", "redis://h:port", "redis://h:0", "redis://h:65536",
        "redis://h/secret", "redis://h/-1", "redis://:secret%@h", "redis://:secret%zz@h", "redis://[::1",
        "unix://relative",
        "unix:///\(String(repeating: "x", count: 107))", "rediss://:secret@h?ssl_cert_reqs=secret",
        "sentinel://:secret@h:x", "redis-cluster://h,:secret@h:0", "redis-cluster://h/1",
        "sentinel://secret@h;redis://secret@h2", "redis://h/%00", "redis://secret#x@h",
        "redis://secret?x@h", "redis://[::1]6379", "redis://:%+f@h",
        "redis:secret@sentinel://h://x", "redis://a;redis://:secret@h:0", "redis://a;amqp://:secret@h",
        "redis://a;sentinel://:secret@h", "redis-cluster://:secret@a;redis://b", "redis://:secret@a;b/1",
        "redis://:secret@a,b",
        "redis://:secret@h o", "'redis://:secret@h'",
    ])
    func refusedWithoutASecret(url: String) {
        let error = #expect(throws: RedisAddressError.self) { try RedisAddress(url: url) }
        #expect(error?.description.contains("secret") == false)
    }

    @Test(arguments: [
        ("sentinel://:s@h:26380/2;sentinel://i;sentinel://[::1]:26381/5", ["h:26380", "i:26379", "[::1]:26381"], 2),
        ("redis-sentinel://:s@h,i:5", ["h:26379", "i:5"], 0),
        ("sentinel://:s@h ; sentinel://i\n", ["h:26379", "i:26379"], 0),
        // A semicolon may stand in a password.
        ("sentinel://:s;sentinel@h/3", ["h:26379"], 3),
    ])
    func sentinels(url: String, hosts: [String], database: Int) throws {
        let address = try RedisAddress(url: url)
        guard case .sentinels(let sentinels) = address.servers else {
            Issue.record("expected sentinels, got \(address.servers)")
            return
        }
        #expect(sentinels.endpoints.map(\.text) == hosts)
        #expect(address.database == database)
        #expect(address.password?.hasPrefix("s") == true)
    }

    @Test func cluster() throws {
        #expect(
            try RedisAddress(url: "redis-cluster://me:s@h:7000,i")
                == RedisAddress(
                    servers: .cluster([.tcp(host: "h", port: 7000), .tcp(host: "i", port: 6379)]),
                    user: "me",
                    password: "s"
                )
        )
        #expect(
            try RedisAddress(url: "redis-cluster://h:7000;redis-cluster://i").servers
                == .cluster([.tcp(host: "h", port: 7000), .tcp(host: "i", port: 6379)])
        )
        let many = (0...32).map { "h\($0)" }.joined(separator: ",")
        #expect(throws: RedisAddressError.self) { try RedisAddress(url: "redis-cluster://\(many)") }
    }

    @Test(arguments: [
        ("rediss://h", TLSClientConfiguration()),
        ("redis://h", nil),
        ("redis://h?ssl_cert_reqs=required", TLSClientConfiguration()),
        ("sentinel://h?ssl_cert_reqs=CERT_OPTIONAL;sentinel://i", TLSClientConfiguration()),
        ("redis-cluster://h?ssl_check_hostname=false", tls(.anyName)),
        ("rediss://h?ssl_check_hostname=true&ssl_cert_reqs=none", tls(.none)),
        ("rediss://h?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=False", tls(.none)),
        (
            "rediss://h/1?ssl_ca_certs=%2Fa%20b&ssl_ca_path=/c&ssl_certfile=/d&ssl_keyfile=/e",
            tls(.full, "/a b", "/c", "/d", "/e")
        ),
        ("unix:///run/redis.sock?ssl_cert_reqs=required", nil),
    ])
    func tlsAsPythonSaysIt(url: String, expected: TLSClientConfiguration?) throws {
        #expect(try RedisAddress(url: url).tls == expected)
    }

    private static func tls(_ verification: TLSClientConfiguration.Verification, _ files: String...)
        -> TLSClientConfiguration
    {
        var tls = TLSClientConfiguration()
        tls.verification = verification
        if files.count == 4 {
            (tls.caFile, tls.caFolder, tls.certificateFile, tls.keyFile) = (files[0], files[1], files[2], files[3])
        }
        return tls
    }

    @Test func redactedHoldsNoCredentials() throws {
        #expect(try RedisAddress(url: "redis://me:secret@h:7000/3").redacted == "redis://h:7000/3")
        #expect(try RedisAddress(url: "unix://me:secret@/run/r.sock?db=1").redacted == "unix:///run/r.sock?db=1")
        #expect(try RedisAddress(url: "rediss://:secret@[::1]/3").redacted == "rediss://[::1]:6379/3")
        let sentinels = "sentinel://me:secret@h:1/2?password=secret;sentinel://:secret@i:2/4"
        #expect(try RedisAddress(url: sentinels).redacted == "sentinel://h:1;sentinel://i:2/2")
        let list = "redis://:secret@h/1;rediss://me:secret@i:2"
        #expect(try RedisAddress(url: list).redacted == "redis://h:6379/1;rediss://i:2/1")
        #expect(try RedisAddress(url: "redis-cluster://me:secret@h,i:2").redacted == "redis-cluster://h:6379,i:2")
    }
}

extension RedisAddress.Servers {
    fileprivate static func host(_ name: String, _ port: UInt16) -> Self {
        .single(.tcp(host: name, port: port))
    }
}
