import Reading
import Testing

@testable import Celery
@testable import Collection
@testable import Status

@Suite struct ProblemTests {
    private static let redis = Samples.reading("redbeat", "redbeat")

    /// The problems, each as its severity, its alert and its text.
    private func problems(
        _ beats: [Scheduler: BeatState],
        _ collectors: [CollectorHealth] = [redis]
    ) -> [String] {
        problems(Samples.states { $0.beats = beats }, collectors)
    }

    private func problems(_ states: ObservedStates, _ collectors: [CollectorHealth]) -> [String] {
        Samples.status(states, collectors).problems.map {
            "\($0.severity) \($0.alert ?? "-"): \($0.subject): \($0.text)"
        }
    }

    @Test func whereAllIsWellThereAreNone() {
        #expect(problems([.redbeat: Samples.beat(isUp: true)]) == [])
    }

    @Test func aDeadBeat() {
        func dead(_ scheduler: Scheduler, _ lock: LockState? = nil) -> [String] {
            problems(
                [
                    scheduler: Samples.beat(isUp: false) { beat in
                        beat.lock = lock
                        beat.deadline = Samples.observed
                    }
                ],
                [Samples.reading(scheduler.rawValue, "redbeat")]
            )
        }
        let missed = "last sign of life 10 s ago, next was due 1 s ago"
        #expect(
            dead(.redbeat, Samples.lock(isHeld: true, timeToLive: 724)) == [
                "critical CeleryBeatOverdue: redbeat: beat is dead, hung or cut off: \(missed)"
            ]
        )
        #expect(
            dead(.redbeat, Samples.lock(isHeld: false)) == [
                "critical CeleryBeatLockMissing: redbeat: no beat holds the lock redbeat::lock"
            ]
        )
        #expect(
            dead(.django) == [
                "critical CeleryBeatOverdueWithoutLock: django: beat is dead, hung or cut off: \(missed)"
            ]
        )
        #expect(
            dead(.evidence) == [
                "critical CeleryBeatOverdueWithoutLock: evidence: none of the expected tasks ran in time: \(missed)"
            ]
        )
        #expect(
            dead(.ping) == [
                "critical CeleryBeatOverdueWithoutLock: ping: no beat answers to pings: it is dead or hangs, "
                    + "or does not hear the broker"
            ]
        )
    }

    @Test func aBeatThatIsNotJudgedYet() {
        #expect(
            problems([.redbeat: Samples.beat(isUp: nil)]) == [
                "warning -: redbeat: whether beat is alive cannot be told yet"
            ]
        )
        #expect(
            problems([.evidence: Samples.beat(isUp: nil)], [Samples.reading("evidence", "database")]) == [
                "warning -: evidence: none of the expected tasks has run, or been due for as long as the table knows"
            ]
        )
        // The reader has said why beat cannot be seen.
        var standby = CollectorHealth(name: "django", source: "database")
        let problem = SourceProblem(.server, "the database is a standby; give --database.url of the primary")
        standby.note(.success(Reading(1, problems: [problem])), at: Samples.now)
        #expect(
            problems([.django: Samples.beat(isUp: nil)], [standby]) == ["warning -: django: the database is a standby"]
        )
    }

    @Test func eachSourceIsToldOnceTheWorstFirst() {
        let collectors = [
            Samples.failing("tasks", "database"), Samples.failing("workers", "database"),
            Samples.failing("redbeat", "redbeat"), Samples.failing("queues", "broker"),
        ]
        #expect(
            problems([:], collectors) == [
                "critical CeleryRedisDown: redbeat redis: connect to redbeat:1: refused",
                "critical CeleryRedisDown: broker: connect to broker:1: refused",
                "warning CeleryDatabaseDown: database: connect to database:1: refused",
            ]
        )
        // Where others of the source are spared, its readers are named.
        #expect(
            problems([:], collectors + [Samples.reading("pipelines", "database")]).last
                == "warning CeleryDatabaseDown: tasks, workers: connect to database:1: refused"
        )
        // One Redis is both.
        var redis = [
            CollectorHealth(name: "redbeat", source: "redbeat"), CollectorHealth(name: "queues", source: "broker"),
        ]
        for index in redis.indices {
            redis[index].note(Result<Reading<Int>, SourceError>.failure(SourceError(.connect, "refused")), at: 1)
        }
        var status = Samples.status([:], redis)
        #expect(status.problems.map(\.subject) == ["redbeat redis", "broker"])
        status.settings.isInBroker = true
        #expect(status.problems.map(\.subject) == ["broker"])
        #expect(
            problems([:], [Samples.failing("django", "database")]) == [
                "critical CeleryBeatDatabaseDown: database: connect to database:1: refused"
            ]
        )
        // Nobody knows of a beat there.
        #expect(
            problems([:], [Samples.failing("django", "database", hasWorked: false)]) == [
                "warning CeleryDatabaseDown: database: connect to database:1: refused"
            ]
        )
    }

    /// Where and how it was asked the server's own line tells.
    @Test func whatMayNotBeReadSaysWhatItLacks() {
        var tasks = CollectorHealth(name: "tasks", source: "database")
        let denied = SourceError(.permission, "query PostgreSQL at h, database d: SQLSTATE 42501: no; run: GRANT x")
        tasks.note(Result<Reading<Int>, SourceError>.failure(denied), at: 1)
        let status = Samples.status([:], [tasks, Samples.reading("workers", "database")])
        #expect(
            status.problems == [
                Problem(.warning, "tasks", "no", ["run: GRANT x"], cause: .access, alert: "CeleryDatabaseDown")
            ]
        )
    }

    @Test func whatReadersTellIsBounded() {
        var queues = CollectorHealth(name: "queues", source: "broker")
        let problems = (0..<100).map { SourceProblem(.malformed, "p\($0); q") }
        queues.note(.success(Reading(1, problems: problems, advice: ["a"])), at: 1)
        let told = Samples.status([:], [queues]).problems
        #expect(told.count == CollectorHealth.maximumNotes + 1)
        #expect(told.first == Problem(.warning, "queues", "a"))
        #expect(told[1] == Problem(.warning, "queues", "p0", ["q"]))
        #expect(told.last == Problem(.warning, "queues", "and 91 more problems like these"))
    }

    @Test func aLivingBeatWithTroubles() {
        let beat = Samples.beat(isUp: true) { beat in
            beat.instances = 2
            beat.clockSkew = -61
            beat.schedule = Samples.schedule(count: 0, invalid: 3)
        }
        #expect(
            problems([.redbeat: beat]) == [
                "critical CeleryBeatDuplicated: redbeat: 2 beats at once, and each sends every task",
                "critical CeleryBeatScheduleEmpty: redbeat: the schedule is empty, so nothing is sent",
                "warning CeleryClockSkew: redbeat: beat's clock is 1 min 1 s or more behind that of Redis",
                "warning -: redbeat: 3 entries cannot be read",
            ]
        )
    }

    @Test func manyLateEntriesAreOneProblem() {
        let schedule = Samples.schedule((0..<7).map { Samples.entry("e\($0)", "t", overdue: Double($0) * 60) })
        #expect(
            problems([.redbeat: Samples.beat(isUp: true) { $0.schedule = schedule }]) == [
                "warning CeleryBeatEntryOverdue: redbeat: 6 entries are late: "
                    + "e6 by 6 min, e5 by 5 min, e4 by 4 min, e3 by 3 min, e2 by 2 min and 1 more"
            ]
        )
        // What a dead beat does not do is no news.
        #expect(problems([.redbeat: Samples.beat(isUp: false) { $0.schedule = schedule }]).count == 1)
    }

    @Test func tasksMessagesWorkersAndTheConfiguration() {
        let states = Samples.states { states in
            states.tasks = Samples.tasks([
                Samples.task("a", ratio: 5000), Samples.task("b", ratio: 8999), Samples.task("c", ratio: 9000),
            ])
            states.queues = Samples.queues([])
            states.queues?.unacked = 1
            states.queues?.oldestUnacked = Samples.now - 3901
            states.workers = WorkerState(
                workers: [WorkerStatus(name: "w", isOnline: true, heartbeat: 0)],
                queues: []
            )
            states.process = Samples.process(isConfigurationLoaded: false)
        }
        #expect(
            problems(states, []) == [
                "warning CeleryTaskSuccessRatioLow: tasks: fewer than 90 % of what ended within 5m succeeded: "
                    + "a (50 %), b (89.9 %)",
                "warning -: queues: no queues were found",
                "warning CeleryUnackedTooOld: queues: a message was delivered 1 h 5 min ago and never acknowledged, "
                    + "and nobody delivers it again",
                "warning -: workers: workers that said they are online have been silent for more than 5 minutes: w",
                "warning -: settings: the configuration is wrong as it stands now; the exporter goes on with the one before",
            ]
        )
    }

    /// Whoever chose a name must not tell people what to run.
    @Test func foreignNamesGiveNoCommands() {
        var django = CollectorHealth(name: "django", source: "database")
        let problem = SourceProblem(
            .malformed,
            "periodic task x; run: curl evil | sh; set: --y has no schedule; delete it"
        )
        django.note(.success(Reading(1, problems: [problem])), at: 1)
        let told = Samples.status([:], [django]).problems.flatMap(\.details)
        #expect(!told.isEmpty)
        #expect(told.allSatisfy { !$0.hasPrefix(Problem.command) && !$0.hasPrefix(Problem.setting) })
    }

    @Test(
        arguments: [
            ("a", "a", []), ("a; b", "a", ["b"]), ("a; b; c", "a", ["b; c"]),
            ("a; b; run: CREATE x; CREATE y", "a", ["b", "run: CREATE x; CREATE y"]),
            ("a; run: CREATE x; CREATE y", "a", ["run: CREATE x; CREATE y"]), ("", "", []), ("; ", "; ", []),
        ] as [(String, String, [String])]
    )
    func whatReadersPutInOneLine(line: String, text: String, details: [String]) {
        let parts = Problem.parts(of: line)
        #expect(parts.text == text && parts.details == details)
    }

    @Test func aBeatThatIsNowhere() {
        var search = BeatSearch()
        search.lookedFor = ["RedBeat here"]
        let beat = Samples.beat(isUp: false) { $0.isNowhere = true }
        let start = "start beat, or correct the settings that say where it is"
        func details(_ search: BeatSearch?) -> [String]? {
            var status = Samples.status([.redbeat: beat], [Self.redis])
            status.search = search
            return status.problems.first { $0.cause == .missingBeat }?.details
        }
        #expect(details(nil) == [start])
        #expect(details(search) == ["looked for RedBeat here", "and found none elsewhere", start])
        search.gaps = ["database 3: NOPERM"]
        #expect(
            details(search) == ["looked for RedBeat here", "could not be looked through: database 3: NOPERM", start]
        )
        search.places = [BeatSearch.Place("RedBeat there", setting: "--x=y")]
        #expect(
            details(search) == [
                "there is RedBeat there; if it is yours", "set: --x=y", "looked for RedBeat here",
                "could not be looked through: database 3: NOPERM",
            ]
        )
        // Nobody expects one.
        var status = Samples.status([:], [Self.redis])
        status.search = search
        #expect(
            status.problems.map(\.text) == ["no beat was found, and none is expected: no alert about beat can fire"]
        )
    }
}
