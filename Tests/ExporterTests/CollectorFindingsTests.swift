import Collection
import Collectors
import Testing

@testable import Celery
@testable import celery_beat_exporter

@Suite struct FindingTests {
    @Test func aLineIsAlignedAndSendsNothingToTheTerminal() {
        let finding = Finding(.failure, "redbeat", "a\nb \u{1b}[31m\u{9b}2J é")
        #expect(finding.line(width: 9) == #"FAIL  redbeat    a\nb \u001b[31m\u009b2J é"#)
        #expect(Finding(.ok, "database", "x").line(width: 3) == "ok    database  x")
        #expect(Finding(.warning, "", String(repeating: "x", count: 5000)).line(width: 0).count < 2100)
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
                    "redis://h:6379/0: of no known version, as INFO is not permitted, answers in under 0.1 ms; it is a replica, "
                        + "which may be behind: give the address of the primary"
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

    private func findings(_ name: String, _ collected: Collected, _ target: Target = Target()) -> [Finding] {
        CollectorFindings(name, .success(collected), target: target, server: server).findings
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
        var collected = Collected(QueueCollector.families(of: state))
        let text = "3 queues: celery 3 (found), zzz 3 (found), mail 0 (named); 2 unacknowledged"
        #expect(findings("queues", collected, target) == [Finding(.ok, "queues", text)])
        collected.isPreliminary = true
        let search = "; the search through all keys for more has not ended"
        #expect(findings("queues", collected, target) == [Finding(.ok, "queues", text + search)])
        #expect(
            findings("queues", Collected([])) == [
                Finding(
                    .warning,
                    "queues",
                    "none found; name them with --queues, or mend the database in --broker.url or --broker.key-prefix"
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
        let problems = (0..<100).map { CollectionProblem(.malformed, "p\($0)") }
        let found = findings("queues", Collected(QueueCollector.families(of: state), problems: problems))
        #expect(found.count == 12)
        #expect(found[0].text.hasPrefix("100 queues: q99 99 (found), ") && found[0].text.hasSuffix(", and 90 more"))
        #expect(found[11] == Finding(.warning, "queues", "and 90 more problems like these"))
    }

    @Test func problemsAdviceAndNotes() {
        var collected = Collected([], problems: [CollectionProblem(.permission, "p")], advice: ["a"])
        collected.notes = ["n"]
        #expect(
            findings("tasks", collected) == [
                Finding(.warning, "tasks", "p"), Finding(.warning, "tasks", "a"), Finding(.ok, "tasks", "n"),
            ]
        )
    }

    @Test func failuresAndWhetherThereIsABeat() {
        let error = CollectionError(.timeout, "it hangs")
        let redbeat = CollectorFindings("redbeat", .failure(error), target: Target(), server: server)
        #expect(redbeat.findings == [Finding(.failure, "redbeat", "it hangs")])
        #expect(redbeat.isOfBeat)
        #expect(!CollectorFindings("tasks", .failure(error), target: Target(), server: server).isOfBeat)
        let nothing = CollectorFindings("redbeat", .success(Collected([])), target: Target(), server: server)
        #expect(nothing.findings.isEmpty && !nothing.isOfBeat)
    }
}
