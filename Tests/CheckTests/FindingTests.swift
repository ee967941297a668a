import Collection
import Configuration
import Status
import Testing

@testable import Celery
@testable import Check

@Suite struct FindingTests {
    @Test func aLineIsAlignedAndSendsNothingToTheTerminal() {
        let finding = Finding(.failure, "redbeat", "a\nb \u{1b}[31m\u{9b}2J é", ["c\r"])
        #expect(
            finding.lines(width: 9) == [#"FAIL  redbeat    a\nb \u001b[31m\u009b2J é"#, #"                 c\r"#]
        )
        #expect(Finding(.ok, "database", "x").lines(width: 3) == ["ok    database  x"])
        #expect(Finding(.warning, "", String(repeating: "x", count: 5000)).lines(width: 0)[0].count < 1100)
    }

    @Test func longTextsAreFoldedAndCommandsAreNot() {
        let words = Array(repeating: "word", count: 40).joined(separator: " ")
        let lines = Finding(.ok, "tasks", words, [words, "run: \(words)"]).lines(width: 5)
        #expect(lines.map(\.count) == [97, 99, 44, 97, 99, 44, 217])
        #expect(lines.map { $0.prefix { $0 == " " }.count } == [0, 15, 15, 13, 15, 15, 13])
        // Where a name alone is longer than a line, that is.
        let name = String(repeating: "n", count: 150)
        #expect(
            Finding(.ok, "t", "a \(name) b").lines(width: 1) == ["ok    t  a", "           \(name)", "           b"]
        )
    }

    @Test(
        arguments: [
            ("a", "a", []), ("a; b", "a", ["b"]), ("a; b; c", "a", ["b; c"]),
            ("a; b; run: CREATE x; CREATE y", "a", ["b", "run: CREATE x; CREATE y"]),
            ("a; run: CREATE x; CREATE y", "a", ["run: CREATE x; CREATE y"]), ("", "", []), ("; ", "; ", []),
        ] as [(String, String, [String])]
    )
    func whatOthersPutInOneLine(line: String, text: String, details: [String]) {
        #expect(Finding(.ok, "x", line: line) == Finding(.ok, "x", text, details))
    }

    @Test func whatOthersFollowFromStandsBeforeThem() {
        let found = [
            Finding(.ok, "ok", ""), Finding(.warning, "advice", ""), Finding(.failure, "beat", "", cause: .beat),
            Finding(.ok, "ok too", "", cause: .server), Finding(.warning, "clock", "", cause: .clock),
            Finding(.failure, "denied", "", cause: .access), Finding(.failure, "database", "", cause: .server),
        ]
        #expect(
            Finding.inOrder(found).map(\.subject) == ["database", "denied", "beat", "clock", "advice", "ok", "ok too"]
        )
    }

    @Test(
        arguments: [
            ([], "all is well", 0), ([.ok, .ok], "all is well", 0), ([.warning], "1 warning", 1),
            ([.failure, .ok, .warning, .warning], "2 warnings, 1 failure", 1), ([.failure, .failure], "2 failures", 1),
        ] as [([Finding.Level], String, Int32)]
    )
    func theLastLineAndTheStatusAgree(levels: [Finding.Level], summary: String, status: Int32) {
        var count = FindingCount()
        for level in levels { count.add(Finding(level, "", "")) }
        #expect(count.summary == summary)
        #expect(count.exitCode == status)
    }

    @Test func servers() {
        var redis = RedisServerState(version: "Valkey 8.0.1", roundTrip: .microseconds(1240))
        #expect(
            Finding("broker", "redis://h:6379/0", .redis(redis))
                == Finding(.ok, "broker", "redis://h:6379/0: Valkey 8.0.1, answers in 1.2 ms")
        )
        redis.isReplica = true
        redis.version = nil
        redis.roundTrip = .microseconds(20)
        #expect(
            Finding("broker", "redis://h:6379/0", .redis(redis))
                == Finding(
                    .warning,
                    "broker",
                    "redis://h:6379/0 is a replica, which may be behind",
                    [
                        "give the address of the primary",
                        "redis://h:6379/0: of no known version, as INFO is not permitted, answers in under 0.1 ms",
                    ],
                    cause: .server
                )
        )
        let postgres = PostgresServerState(version: "15.20", roundTrip: .milliseconds(3), role: "me", isStandby: true)
        #expect(
            Finding("database", "h", .postgres(postgres))
                == Finding(.ok, "database", "h: PostgreSQL 15.20, a standby, answers me in 3.0 ms")
        )
    }
}

@Suite struct CollectorFactsTests {
    private func queue(_ name: String, _ length: Int) -> QueueDepth {
        QueueDepth(name: name, priorities: [PriorityDepth(priority: 0, length: length)], usesPriorities: false)
    }

    private func findings(_ queues: [QueueDepth], named: [String], isSearching: Bool = false) -> [Finding] {
        var states = ObservedStates()
        states.queues = QueueState(queues: queues, unacked: 2, oldestUnacked: nil, visibilityTimeout: 3600)
        var target = Target()
        target.queues.names = named
        return CollectorFacts(states: states, target: target).findings(of: "queues", isSearching: isSearching)
    }

    @Test func queues() {
        let queues = [queue("celery", 3), queue("mail", 0), queue("zzz", 3)]
        let text = "3 queues: celery 3 (found), zzz 3 (found), mail 0 (named); 2 unacknowledged"
        #expect(findings(queues, named: ["mail"]) == [Finding(.ok, "queues", text)])
        let search = "the search through all keys for more has not ended"
        #expect(findings(queues, named: ["mail"], isSearching: true) == [Finding(.ok, "queues", text, [search])])
        // That is a problem, which is told elsewhere.
        #expect(findings([], named: []) == [])
    }

    @Test func manyQueuesAreBounded() {
        let found = findings((0..<100).map { queue("q\($0)", $0) }, named: [])
        #expect(found.count == 1)
        #expect(found[0].text.hasPrefix("100 queues: q99 99 (found), "))
        #expect(found[0].text.hasSuffix(", and 90 more; 2 unacknowledged"))
    }

    /// Whatever cannot be read fails a check, also where it is no more than a warning to whoever looks at the page.
    @Test func problems() {
        #expect(Finding(Problem(.critical, "a", "b", ["c"])) == Finding(.failure, "a", "b", ["c"]))
        #expect(Finding(Problem(.warning, "a", "b")) == Finding(.warning, "a", "b"))
        #expect(
            Finding(Problem(.warning, "a", "b", cause: .server)) == Finding(.failure, "a", "b", cause: .server)
        )
        #expect(
            Finding(Problem(.warning, "a", "b", cause: .access)) == Finding(.failure, "a", "b", cause: .access)
        )
    }
}
