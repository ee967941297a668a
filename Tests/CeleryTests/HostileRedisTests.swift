import Foundation
import LyingRedis
import Reading
import Redis
import Testing

@testable import Celery

/// Keys that one could not read, among those that one can; and numbers that no Redis tells.
@Suite struct HostileRedisTests {
    private static let now = 1_795_221_950.0
    private let lock = "8c534400e54411f19fe5b02fc0000000"

    private func client(_ answer: @escaping @Sendable ([String]) -> Reply?) -> RedisClient {
        let server = LyingRedis { command in
            // What is the same in all tests, unless they say otherwise.
            answer(command)
                ?? {
                    switch command[0] {
                    case "TIME": ["1795221950", "0"]
                    case "SCAN", "SSCAN": ["0", []]
                    case "INFO": "rdb_last_save_time:1795221000\r\ntotal_forks:3\r\n"
                    default: .status("OK")
                    }
                }()
        }
        return RedisClient(
            address: RedisAddress(servers: .single(.unix(path: server.path))),
            limits: RedisLimits(timeout: .seconds(60))
        )
    }

    private func queues(_ answer: @escaping @Sendable ([String]) -> Reply?) throws -> (QueueState, [SourceProblem]) {
        var configuration = QueueConfiguration()
        configuration.names = ["mail"]
        let reader = QueueReader(
            client: client(answer),
            configuration: configuration,
            scheduledQueues: { [:] }
        )
        let reading = try reader.read(until: .now + .seconds(60))
        return (try #require(reading.state), reading.problems)
    }

    private func depth(_ name: String, _ length: Int) -> QueueDepth {
        QueueDepth(
            name: name,
            priorities: [0, 3, 6, 9].map { PriorityDepth(priority: $0, length: $0 == 0 ? length : 0) },
            usesPriorities: false
        )
    }

    /// Nine bindings of 8 MB among others, a name of a key of 9 MB, a tag of 70 MB.
    @Test func oversizedKeysOfKombu() throws {
        let separator = "\u{6}\u{16}"
        let (state, problems) = try queues { command in
            switch command[0] {
            case "SCAN":
                ["0", [.long(9 << 20), "_kombu.binding.many"]]
            case "SRANDMEMBER":
                .list(
                    Array(repeating: .long(8 << 20), count: 9)
                        + ["celery", "mail"].map { .text("\($0)\(separator)\(separator)\($0)") }
                )
            case "HLEN": 2
            case "ZRANGE": [.long(70 << 20), "1795221905.5"]
            case "LLEN": command[1] == "celery" ? 7 : command[1] == "mail" ? 1 : 0
            default: nil
            }
        }
        #expect(
            state
                == QueueState(
                    queues: [depth("celery", 7), depth("mail", 1)],
                    unacked: 2,
                    oldestUnacked: 1_795_221_905.5,
                    visibilityTimeout: 3600
                )
        )
        #expect(
            problems == [
                SourceProblem(
                    .overLimit,
                    "the search for _kombu.binding.* has a name of more than 512 bytes, which is left out; delete it"
                ),
                SourceProblem(
                    .overLimit,
                    "_kombu.binding.many has a binding that is too long, and is left out; delete it"
                ),
                SourceProblem(.overLimit, "unacked_index has a member that is too long, and is left out; delete it"),
            ]
        )
    }

    @Test func aSetOfTooManyBindings() throws {
        let (state, problems) = try queues { command in
            switch command[0] {
            case "SCAN": ["0", ["_kombu.binding.many"]]
            case "SRANDMEMBER": .list(Array(repeating: "a", count: 131_073))
            case "HLEN", "LLEN": 0
            case "ZRANGE": []
            default: nil
            }
        }
        #expect(state.queues == [depth("mail", 0)])
        #expect(
            problems == [
                SourceProblem(
                    .overLimit,
                    "_kombu.binding.many has more bindings than are read, so its queues are left out"
                )
            ]
        )
    }

    /// Lengths below and beyond all that there can be, sums of them, and scores that are no times.
    @Test(arguments: [Int64.min, .max, -1, 1 << 62])
    func impossibleLengths(length: Int64) throws {
        let (state, problems) = try queues { command in
            switch command[0] {
            case "HLEN": .integer(length)
            case "LLEN": command[1] == "mail" ? 1 : .integer(length)
            case "ZRANGE": ["tag", "nan"]
            default: nil
            }
        }
        #expect(
            state == QueueState(queues: [], unacked: nil, oldestUnacked: nil, visibilityTimeout: 3600)
        )
        let second = KombuKeys().list(queue: "mail", priority: 3)
        #expect(
            problems == [
                SourceProblem(.malformed, "what is told of unacked is no number, so it is left out"),
                SourceProblem(.malformed, "what is told of \(second) is no number, so it is left out"),
                SourceProblem(.malformed, "the oldest member of unacked_index has a score that is no time"),
            ]
        )
    }

    // MARK: RedBeat

    private func definition(_ name: String, _ more: String = "") -> Reply {
        .text(
            #"{"name": "\#(name)", "task": "t", "schedule": {"__type__": "interval", "every": 60, "relative": false}\#(more)}"#
        )
    }

    private func beat(
        until deadline: ContinuousClock.Instant = .now + .seconds(60),
        _ answer: @escaping @Sendable ([String]) -> Reply?
    ) throws -> (BeatState?, [SourceProblem]) {
        let lock = lock
        let reader = RedBeatReader(
            client: client { command in
                if let reply = answer(command) { return reply }
                switch command[0] {
                case "PTTL": return 1_490_500
                case "OBJECT": return 9
                case "TYPE": return .status(command[1].hasSuffix(":lock") ? "string" : "zset")
                case "GETRANGE": return .text(lock)
                case "ZCARD": return 1
                case "ZRANGE": return ["redbeat:a", "1795221960"]
                case "HSTRLEN": return 150
                default: return nil
                }
            },
            configuration: RedBeatConfiguration()
        )
        let reading = try reader.read(until: deadline)
        return (reading.state, reading.problems)
    }

    /// A member of 70 MB, and one whose name alone is too long, among others; a static entry and a key like them.
    @Test func oversizedKeysOfRedBeat() throws {
        let entry = definition("a")
        let (state, problems) = try beat { command in
            switch command[0] {
            case "SSCAN": ["0", [.long(70 << 20), "a"]]
            case "SCAN": ["0", [.long(100 << 20)]]
            case "ZCARD": 3
            case "ZRANGE": [.long(70 << 20), "1795221960", .long(513), "1", "redbeat:a", "1795221960"]
            case "HMGET": [entry, nil]
            default: nil
            }
        }
        #expect(state?.schedule?.entries.map(\.name) == ["a"])
        #expect(state?.schedule?.entryCount == 3)
        #expect(state?.schedule?.invalidCount == 2)
        #expect(state?.schedule?.nextDue == 1_795_221_960)
        let omission = "has a name of more than 512 bytes, which is left out; delete it"
        #expect(
            problems == [
                SourceProblem(.overLimit, "redbeat::statics \(omission)"),
                SourceProblem(.overLimit, "the search for redbeat:* \(omission)"),
                SourceProblem(
                    .overLimit,
                    "redbeat::schedule has 2 entries that are not read, since their names have more than 512 bytes, or all names "
                        + "together too many"
                ),
            ]
        )
    }

    /// A hash of which more comes than was told, and one of more values than are read.
    @Test func oversizedEntries() throws {
        let values = definition("b", #", "options": {"x": [\#(String(repeating: "[],", count: 20_000))1]}"#)
        let arguments = definition("c", #", "args": [\#(String(repeating: "[],", count: 20_000))1]"#)
        let (state, problems) = try beat { command in
            switch command[0] {
            case "ZCARD": 4
            case "ZRANGE":
                .list(["a", "b", "c", "d"].flatMap { [.text("redbeat:\($0)"), "1795221960"] })
            case "HSTRLEN": command[1] == "redbeat:d" ? 9_000_000 : 150
            case "HMGET":
                [command[1] == "redbeat:a" ? .long(9_000_000) : command[1] == "redbeat:b" ? values : arguments, nil]
            default: nil
            }
        }
        #expect(state?.schedule?.entries.map(\.name) == ["c"])
        #expect(state?.schedule?.invalidCount == 3)
        let notRead = "not read: beat may run it all the same"
        #expect(
            problems == [
                SourceProblem(
                    .overLimit,
                    "schedule entry redbeat:d has a field of over 8388608 bytes, which is \(notRead)"
                ),
                SourceProblem(.overLimit, "schedule entry redbeat:a grows while it is read, and is \(notRead)"),
                SourceProblem(.overLimit, "schedule entry redbeat:b has more than 10000 values, and is \(notRead)"),
            ]
        )
    }

    @Test(arguments: [Int64.min, .max, -1])
    func impossibleNumbersOfEntries(count: Int64) {
        let error = #expect(throws: SourceError.self) {
            try beat { command in command[0] == "ZCARD" ? .integer(count) : nil }
        }
        #expect(error?.description.hasSuffix("ZCARD redbeat::schedule: no number") == true)
    }

    @Test(arguments: ["HSTRLEN", "OBJECT", "PTTL"], [Int64.min, .max, -3])
    func impossibleNumbersOfAKey(command: String, value: Int64) throws {
        let entry = definition("a")
        let (state, problems) = try beat { asked in
            asked[0] == command ? .integer(value) : asked[0] == "HMGET" ? [entry, nil] : nil
        }
        let hasEntry = command != "HSTRLEN"
        #expect(state?.schedule?.entries.map(\.name) == (hasEntry ? ["a"] : []))
        #expect(state?.lock?.timeToLive == (command == "PTTL" ? nil : 1490.5))
        #expect(problems.count == (command == "OBJECT" ? 0 : 1))
    }

    /// Whichever question is not answered in time: no question gets a time of its own.
    @Test(arguments: ["TIME", "ZCARD", "HSTRLEN", "HMGET"])
    func oneDeadlineHoldsForAllQuestions(slow: String) {
        let deadline = ContinuousClock.now + .seconds(1)
        let entry = definition("a")
        let error = #expect(throws: SourceError.self) {
            try beat(until: deadline) { command in
                while command[0] == slow, ContinuousClock.now <= deadline { usleep(1000) }
                return command[0] == "HMGET" ? [entry, nil] : nil
            }
        }
        #expect(error?.reason == .timeout)
    }

    @Test(arguments: ["9223372036854775807", "-1", "nan"])
    func impossibleTimes(seconds: String) {
        let error = #expect(throws: SourceError.self) {
            try beat { command in command[0] == "TIME" ? [.text(seconds), "0"] : nil }
        }
        #expect(error?.description.hasSuffix("TIME returned no time") == true)
    }

    @Test(arguments: ["1e308", "inf", "-inf", "nan", "9223372036854775807"])
    func impossibleScores(score: String) throws {
        let entry = definition("a")
        let (state, _) = try beat { command in
            command[0] == "ZRANGE" ? ["redbeat:a", .text(score)] : command[0] == "HMGET" ? [entry, nil] : nil
        }
        #expect(state?.schedule?.nextDue == nil)
        #expect(state?.schedule?.entries.map(\.nextDue) == [nil])
    }

    /// Of a character that has any number of scalars.
    @Test func namesAreBounded() throws {
        let entry = definition("e" + String(repeating: "\u{301}", count: 250_000))
        let (state, _) = try beat { command in
            command[0] == "HSTRLEN" ? 600_000 : command[0] == "HMGET" ? [entry, nil] : nil
        }
        #expect(state?.schedule?.entries.map(\.name) == ["e" + String(repeating: "\u{301}", count: 199)])
    }

    /// Two readings between which rounding leaves nothing.
    @Test func anEmptyRangeOfClocks() {
        var clock = BeatClock()
        clock.observe(runs: [7.426914233688028e-06, 68.24421642708344], since: 0, until: 68.2442090001692)
        for run in [-1e300, 1e300, .infinity, .nan, -.infinity] {
            clock.observe(runs: [run, 1], since: 0.1, until: 0.3)
            clock.observe(runs: [run], since: -.infinity, until: .infinity)
            clock.observe(start: run, at: 0)
        }
        #expect(clock.skew ?? 0 == 0)
    }
}
