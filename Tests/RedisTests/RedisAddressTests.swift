import Redis
import Testing

@Suite struct RedisAddressTests {
    @Test(arguments: [
        ("redis://localhost", RedisAddress(endpoint: .tcp(host: "localhost", port: 6379))),
        ("redis://", RedisAddress(endpoint: .tcp(host: "localhost", port: 6379))),
        ("REDIS://h:7000/3", RedisAddress(endpoint: .tcp(host: "h", port: 7000), database: 3)),
        ("redis://h/", RedisAddress(endpoint: .tcp(host: "h", port: 6379))),
        ("redis://h?db=4", RedisAddress(endpoint: .tcp(host: "h", port: 6379), database: 4)),
        (
            "redis://:p%40ss%3A@h:1/2?ssl_cert_reqs=none",
            RedisAddress(endpoint: .tcp(host: "h", port: 1), password: "p@ss:", database: 2)
        ),
        (
            "redis://me:a@b@h/1",
            RedisAddress(endpoint: .tcp(host: "h", port: 6379), user: "me", password: "a@b", database: 1)
        ),
        ("redis://me@h", RedisAddress(endpoint: .tcp(host: "h", port: 6379), user: "me")),
        ("redis://[::1]:7000/1", RedisAddress(endpoint: .tcp(host: "::1", port: 7000), database: 1)),
        ("unix:///run/redis.sock?db=2", RedisAddress(endpoint: .unix(path: "/run/redis.sock"), database: 2)),
        (
            "redis+socket://:s@/run/redis.sock?virtual_host=/5",
            RedisAddress(endpoint: .unix(path: "/run/redis.sock"), password: "s", database: 5)
        ),
    ])
    func understood(url: String, expected: RedisAddress) throws {
        #expect(try RedisAddress(url: url) == expected)
    }

    @Test(arguments: [
        "", "localhost:6379", "amqp://h", "http://secret@h", "redis://h:port", "redis://h:0", "redis://h:65536",
        "redis://h/secret", "redis://h/-1", "redis://:secret%@h", "redis://:secret%zz@h", "redis://[::1",
        "unix://relative",
        "unix:///\(String(repeating: "x", count: 107))", "rediss://:secret@h", "redis://h/%00", "redis://secret#x@h",
        "redis://secret?x@h", "redis://[::1]6379", "redis://:%+f@h",
    ])
    func refusedWithoutASecret(url: String) {
        let error = #expect(throws: RedisAddressError.self) { try RedisAddress(url: url) }
        #expect(error?.description.contains("secret") == false)
    }

    @Test func redactedHoldsNoCredentials() throws {
        #expect(try RedisAddress(url: "redis://me:secret@h:7000/3").redacted == "redis://h:7000/3")
        #expect(try RedisAddress(url: "unix://me:secret@/run/r.sock?db=1").redacted == "unix:///run/r.sock?db=1")
    }
}
