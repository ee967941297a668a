import LyingRedis

/// A Redis's answers as an input decides them: mostly what a Redis could say, with numbers that none would, now and then
/// anything else. The same input answers the same questions the same way.
struct Liar {
    private var decisions: ArraySlice<UInt8>
    /// Once the input is used up.
    private var random: SeededGenerator
    /// Where its nodes are, if it is a cluster.
    private let port: UInt16
    /// How many of 256 answers are anything, and how many of 256 numbers are none that a Redis would tell.
    private var lies = 0
    private var extremes = 0
    /// Whether the answer is no whole reply, after which there can be no other.
    private var isBroken = false

    init(_ input: [UInt8], port: UInt16) {
        self.port = port
        decisions = input[...]
        // FNV-1a.
        random = SeededGenerator(seed: input.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
        lies = one(of: [0, 0, 2, 8, 64])
        extremes = one(of: [8, 32, 128])
    }

    /// Inputs from the plain truth, which is all zeros, to nothing but chance.
    static let corpus: [[UInt8]] = [
        Array(repeating: 0, count: 400), Array(repeating: 0, count: 60), Array(0...255), [],
        (0..<300).map { UInt8($0 % 7) }, (0..<300).map { UInt8(truncatingIfNeeded: $0 * 37 % 16) },
        Array(repeating: 0, count: 30) + Array(repeating: 200, count: 60),
    ]

    private mutating func decide(_ count: Int) -> Int {
        Int(decisions.popFirst() ?? UInt8.random(in: 0...255, using: &random)) % count
    }

    private mutating func one<Value>(of values: [Value]) -> Value { values[decide(values.count)] }

    mutating func answer(_ command: [String]) -> Reply? {
        guard decide(256) >= 256 - lies else { return likely(command) }
        switch decide(4) {
        case 0: return .last(likely(command).bytes.dropLast(1 + decide(20)) + likely(command).bytes)
        case 1 where decide(4) == 0: return nil
        default:
            let reply = anything(depth: 0)
            return isBroken ? .last(reply.bytes) : reply
        }
    }

    // MARK: What a Redis could say

    private mutating func likely(_ command: [String]) -> Reply {
        switch command[0] {
        case "TIME": return [text(number(1_795_221_950)), text(number(123_456))]
        case "TYPE":
            return .status(one(of: [type(of: command), "none", "string", "zset", "hash", "set", "\u{1b}[31m"]))
        case "OBJECT": return integer(3)
        case "PTTL": return integer(1_490_500)
        case "EXISTS", "HEXISTS", "DEL", "PUBLISH": return integer(1)
        case "INFO": return .text(information())
        case "SCAN", "SSCAN": return [.text(one(of: ["0", "0", "17", "18446744073709551615", "-1", "x"])), names()]
        case "ZCARD", "HLEN", "LLEN": return integer(2)
        case "HSTRLEN": return integer(150)
        case "ZRANGE": return .list((0..<decide(5)).flatMap { _ in [name(), text(number(1_795_221_960))] })
        case "GETRANGE":
            return text(one(of: ["8c534400e54411f19fe5b02fc0000000", "", "ffffffffffff1fffffffffffffffffff", "x"]))
        case "HMGET": return [.text(definition()), .text(meta())]
        case "SRANDMEMBER": return .list((0..<decide(5)).map { _ in binding() })
        case "LINDEX": return text(one(of: ["{}", "{}", "", "message"]))
        case "LRANGE": return .list((0..<decide(5)).map { _ in answerToPing() })
        case "BRPOP": return one(of: [["list", answerToPing()], ["list", answerToPing()], nil, ["list"]])
        case "CLIENT" where command[1] == "LIST":
            return text(one(of: ["id=1 db=0 psub=1\n", "id=2 db=0 psub=0\n\n", "psub=", "= ="]))
        case "ROLE": return one(of: [["master", integer(3), []], ["slave"], []])
        case "SENTINEL": return [text(one(of: ["127.0.0.1", "10.0.0.1", "a\u{0}b", ""])), text(number(26_379))]
        case "CLUSTER": return slots()
        default: return .status("OK")
        }
    }

    private mutating func number(_ honest: Int) -> String {
        decide(256) < 256 - extremes ? String(honest) : one(of: Self.numbers)
    }

    private mutating func integer(_ honest: Int64) -> Reply {
        .integer(decide(256) < 256 - extremes ? honest : one(of: Self.integers))
    }

    private func text(_ text: String) -> Reply { .text(text) }

    private func type(of command: [String]) -> String {
        command[1].hasSuffix(":lock") ? "string" : command[1].hasSuffix(":statics") ? "set" : "zset"
    }

    private mutating func name() -> Reply {
        let long = String(repeating: "e\u{301}", count: 400)
        return .text(
            one(of: ["redbeat:a", "redbeat:b", "_kombu.binding.mail", "redbeat:schedule", "x:lock", "", long])
        )
    }

    private mutating func names() -> Reply { .list((0..<decide(5)).map { _ in name() }) }

    private mutating func binding() -> Reply {
        let end = one(of: [
            "mail", "celery", "", "a.b", String(repeating: "\u{301}", count: 300), "reply.celery.pidbox",
        ])
        return .text("key\u{6}\u{16}pattern\u{6}\u{16}\(end)")
    }

    private mutating func information() -> String {
        "role:\(one(of: ["master", "slave", ""]))\r\nrdb_bgsave_in_progress:\(number(0))\r\n"
            + "rdb_last_save_time:\(number(1_795_221_000))\r\ntotal_forks:\(number(3))\r\nmaxmemory:\(number(0))\r\n"
            + "redis_version:7.0.15\r\nmaxmemory_policy:\(one(of: ["noeviction", "allkeys-lfu"]))\r\n"
            + "db\(number(0)):keys=\(number(1)),expires=0\r\ndb:\r\n"
    }

    private mutating func definition() -> String {
        let name = one(of: ["a", "b", String(repeating: "\\u0301", count: 250), "\\ud800"])
        let schedule = one(of: [
            "{\"__type__\": \"interval\", \"every\": \(number(5)), \"relative\": false}",
            "{\"__type__\": \"crontab\", \"minute\": \"*/\(number(5))\", \"hour\": [\(number(1))], \"day_of_week\": \(number(1))}",
            "{\"__type__\": \"rrule\", \"freq\": \(number(5)), \"dtstart\": \(number(1_795_222_507))}", number(5), "{}",
        ])
        let options = one(of: ["{\"queue\": \"mail\"}", "{}", "[\(String(repeating: "[],", count: 12_000))1]"])
        return
            "{\"name\": \"\(name)\", \"task\": \"t\", \"schedule\": \(schedule), \"enabled\": \(one(of: ["true", "false"])), "
            + "\"args\": [\(number(1))], \"options\": \(options)}"
    }

    private mutating func meta() -> String {
        let zone = one(of: [
            "\"UTC\"", "\"Europe/Paris\"", number(3600), "\"\(String(repeating: "a/", count: 99))\"", "null",
        ])
        let moment =
            "{\"__type__\": \"datetime\", \"year\": \(number(2026)), \"month\": \(number(11)), \"day\": \(number(21)), "
            + "\"hour\": \(number(0)), \"minute\": \(number(44)), \"second\": 59, \"microsecond\": \(number(5)), "
            + "\"timezone\": \(zone)}"
        return "{\"last_run_at\": \(one(of: [moment, moment, "null"])), \"total_run_count\": \(number(6))}"
    }

    private mutating func answerToPing() -> Reply {
        let body = one(of: ["eyJjZWxlcnliZWF0QGgiOiB7Im9rIjogInBvbmcifX0=", "", "====", "W10="])
        return .text("{\"body\": \"\(body)\", \"headers\": {\"ticket\": \(one(of: ["\"t\"", number(1), "null"]))}}")
    }

    private mutating func slots() -> Reply {
        let count = one(of: [1, 1, 2, 0, 128])
        return .list(
            (0..<count).map { index in
                let length = 16_384 / Int64(count)
                let host: Reply = .text(one(of: [Self.own, Self.own, "10.0.0.1", "", "?", "a\u{0}b"]))
                let node: Reply = [host, integer(Int64(port)), "id", ["ip", "10.0.0.2"]]
                return [integer(Int64(index) * length), integer(Int64(index + 1) * length - 1), node]
            }
        )
    }

    /// Its own host.
    static let own = "127.0.0.1"

    // MARK: What none would

    private mutating func anything(depth: Int) -> Reply {
        switch decide(depth < 4 ? 9 : 6) {
        case 0: return .null
        case 1: return .integer(one(of: Self.integers))
        case 2: return .text(one(of: Self.numbers))
        case 3: return .error(one(of: Self.errors))
        case 4: return .long(one(of: [0, 1, 1000, 2000, 70_000]))
        case 5: return .string([0xff, 0, 0x0d, 0x0a])
        case 6: return []
        case 7:
            isBroken = true
            return .raw(
                Array(one(of: ["*2147483647\r\n:1\r\n", "$9223372036854775807\r\n", "*-2\r\n", "$-5\r\n"]).utf8)
            )
        default: return .list((0..<decide(6)).map { _ in anything(depth: depth + 1) })
        }
    }

    private static let integers: [Int64] = [
        .min, .max, -1, -2, -3, 0, 1, 2, 1 << 31, -(1 << 31), 1 << 32, 1 << 40, 1 << 53, 1 << 62, .min + 1, 65_535,
        65_536,
        1_795_221_950, 253_402_300_800,
    ]

    private static let numbers =
        integers.map { String($0) } + [
            "nan", "NaN", "inf", "-inf", "1e308", "-1e308", "1e-320", "-0", "-0.0", "0.1", "1e18", "1e19", "0x1p60",
            "9223372036854775808", "-9223372036854775809", "1795221950.5", "", "Infinity", "-Infinity",
        ]

    private static let errors = [
        "WRONGTYPE Operation", "NOPERM no", "ERR unknown", "MOVED 1 10.0.0.1:1", "MOVED 12539 127.0.0.1:1", "ASK 0 :1",
        "MOVED 0 ?:1", "MOVED -1 a:1", "LOADING", "NOAUTH", "ERR max number of clients", "OMITTED \u{1}",
        String(repeating: "e", count: 5000),
    ]
}
