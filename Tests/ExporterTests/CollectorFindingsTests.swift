import Collection
import Configuration
import Reading
import Testing

@testable import Celery
@testable import celery_beat_exporter

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

    @Test func durationsForPeople() {
        let texts = [0, 0.9, 8, 60, 89.9, 1498, 3600, 3605, 63_623, 86_400 * 9 + 3600, -5, .infinity, .nan].map {
            PrometheusDuration.text(seconds: $0)
        }
        #expect(
            texts == [
                "0s", "0s", "8s", "1m", "1m29s", "24m58s", "1h", "1h", "17h40m", "1w2d", "5s", "31709791y51w", "0s",
            ]
        )
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

@Suite struct CollectorFindingsTests {
    private let server = ServerState.redis(RedisServerState(version: nil, roundTrip: .zero))

    private func findings(
        _ name: String,
        _ reading: Reading<StateChange>,
        _ target: Target = Target()
    ) -> [Finding] {
        CollectorFindings(name, .success(reading), target: target, server: server).findings
    }

    private func reading(_ state: QueueState) -> Reading<StateChange> {
        Reading<StateChange>({ $0.queues = state })
    }

    private func queue(_ name: String, _ length: Int) -> QueueDepth {
        QueueDepth(name: name, priorities: [PriorityDepth(priority: 0, length: length)], usesPriorities: false)
    }

    @Test func queues() {
        var target = Target()
        target.queues.names = ["mail"]
        let state = QueueState(
            queues: [queue("celery", 3), queue("mail", 0), queue("zzz", 3)],
            unacked: 2,
            oldestUnacked: nil,
            visibilityTimeout: 3600
        )
        var reading = reading(state)
        let text = "3 queues: celery 3 (found), zzz 3 (found), mail 0 (named); 2 unacknowledged"
        #expect(findings("queues", reading, target) == [Finding(.ok, "queues", text)])
        reading.isPreliminary = true
        let search = "the search through all keys for more has not ended"
        #expect(findings("queues", reading, target) == [Finding(.ok, "queues", text, [search])])
        #expect(
            findings("queues", self.reading(QueueState(queues: [], visibilityTimeout: 1))) == [
                Finding(
                    .warning,
                    "queues",
                    "no queues were found",
                    ["name them with --queues, or correct the database in --broker.url", "or give --broker.key-prefix"]
                )
            ]
        )
    }

    @Test func manyQueuesAndProblemsAreBounded() {
        let state = QueueState(
            queues: (0..<100).map { queue("q\($0)", $0) },
            unacked: nil,
            oldestUnacked: nil,
            visibilityTimeout: 1
        )
        let problems = (0..<100).map { SourceProblem(.malformed, "p\($0)") }
        var reading = reading(state)
        reading.problems = problems
        let found = findings("queues", reading)
        #expect(found.count == 12)
        #expect(found[0].text.hasPrefix("100 queues: q99 99 (found), ") && found[0].text.hasSuffix(", and 90 more"))
        #expect(found[11] == Finding(.warning, "queues", "and 90 more problems like these"))
    }

    @Test func problemsAdviceAndNotes() {
        let problems = [SourceProblem(.permission, "p")]
        let reading = Reading<StateChange>(nil, problems: problems, advice: ["a"], notes: ["n"])
        #expect(
            findings("tasks", reading) == [
                Finding(.warning, "tasks", "p"), Finding(.warning, "tasks", "a"), Finding(.ok, "tasks", "n"),
            ]
        )
    }

    @Test func failuresAndWhetherThereIsABeat() {
        let error = SourceError(.timeout, "it hangs")
        let redbeat = CollectorFindings("redbeat", .failure(error), target: Target(), server: server)
        #expect(redbeat.findings == [Finding(.failure, "redbeat", "it hangs", cause: .access)])
        #expect(redbeat.isOfBeat)
        #expect(!CollectorFindings("tasks", .failure(error), target: Target(), server: server).isOfBeat)
        let nothing = CollectorFindings(
            "redbeat",
            .success(Reading<StateChange>(nil)),
            target: Target(),
            server: server
        )
        #expect(nothing.findings.isEmpty && !nothing.isOfBeat)
        let denied = SourceError(.permission, "query PostgreSQL at h, database d: SQLSTATE 42501: no; run: GRANT x")
        #expect(
            CollectorFindings("tasks", .failure(denied), target: Target(), server: server).findings == [
                Finding(.failure, "tasks", "no", ["run: GRANT x"], cause: .access)
            ]
        )
    }
}
