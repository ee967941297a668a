import Celery
import Testing
import TimeZones

@testable import Configuration

@Suite struct ConfigurationFileTests {
    private func file(_ text: String) throws(ConfigurationError) -> ConfigurationFile {
        try ConfigurationFile(path: "e.yml", contents: Array(text.utf8))
    }

    @Test func keysWholeAndInParts() throws {
        let file = try file(
            """
            broker: {url: redis://h}
            beat.grace: 3s
            beat:
              scheduler:
                - redbeat
                - django
            """
        )
        #expect(
            file.values.mapValues(\.value) == [
                "broker.url": "redis://h", "beat.grace": "3s", "beat.scheduler": "redbeat,django",
            ]
        )
        #expect(file.values["beat.scheduler"]?.origin == "e.yml:4: beat.scheduler")
        #expect(try self.file("").values.isEmpty)
    }

    @Test(arguments: [
        ("- a", "e.yml:1: write settings as key: value"),
        ("a: b\na.b: [[c]]", "e.yml:2: a list must be of single values without commas"),
        ("a: ['b,c']", "e.yml:1: a list must be of single values without commas"),
        ("a:", "e.yml:1: a key has no value; give it one, or put quotes around what is none"),
        ("a.b: 1\na: {b: 2}", "e.yml:2: the same key stands in line 1"),
        ("a: 1\na: 2", "e.yml:2: the same key stands in line 1"),
        ("a: *b", "e.yml:1: aliases (*name) are not supported; write the value out"),
        ("a: */5", "e.yml:1: a value that begins with * needs quotes"),
    ])
    func refused(text: String, message: String) {
        #expect(throws: ConfigurationError(message)) { try file(text) }
    }

    @Test func aFlagBeforeAVariableBeforeTheFile() throws {
        let (name, variable) = ("broker.key-prefix", "CELERY_BEAT_EXPORTER_BROKER_KEY_PREFIX")
        func prefix(flag: String? = nil, variable value: String = "", file text: String) throws -> Settings.Found? {
            let flags = flag.map { [name: $0] } ?? [:]
            return try Settings(flags: flags, environment: [variable: value], file: file(text))
                .read(Setting.brokerKeyPrefix)
        }
        let line = "\(name): file"
        #expect(try prefix(flag: "flag", variable: "variable", file: line)?.value == "flag")
        #expect(try prefix(variable: "variable", file: line)?.value == "variable")
        #expect(try prefix(file: line) == Settings.Found(value: "file", origin: "e.yml:1: \(name)"))
        #expect(try prefix(file: "") == nil)
    }

    @Test func otherKeysAreRefusedWithTheNearestName() throws {
        func refusal(_ text: String) throws -> String? {
            let settings = Settings(flags: [:], environment: [:], file: try file(text))
            return #expect(throws: ConfigurationError.self) { try settings.refuseOtherKeys() }?.description
        }
        #expect(
            try refusal("queues: a\nbeat.grase: 3s") == "e.yml:2: beat.grase is no setting; did you mean beat.grace?"
        )
        #expect(try refusal("schedules: []") == "e.yml:1: schedules is no setting; did you mean schedule?")
        #expect(try refusal("something.else: 1") == "e.yml:1: there is no such setting; --help lists them")
        #expect(
            try refusal("\"beat.grac\\e[1m\": 1")
                == "e.yml:1: beat.grac\u{fffd}[1m is no setting; did you mean beat.grace?"
        )
    }
}

@Suite struct ExpectedScheduleTests {
    private func entries(_ text: String) throws -> [ExpectedEntry] {
        let file = try ConfigurationFile(path: "e.yml", contents: Array("schedule:\n\(text)".utf8))
        return try #require(try ExpectedSchedule(file)).entries
    }

    @Test func intervalsAndCrontabs() throws {
        let found = try entries(
            """
              - task: shop.import
                interval: 1h30m
              - {entry: nightly, task: shop.close, crontab: 30 4 1 */2 1-5, zone: Europe/Paris, tolerance: 15m}
              - {entry: weekly, task: shop.close, crontab: '*/5 * * * 0'}
              - {entry: blanks, task: shop.close, crontab: '0, 30 8 ,16 * * *'}
            """
        )
        let nightly = try #require(
            Crontab(minute: "30", hour: "4", dayOfWeek: "1-5", dayOfMonth: "1", monthOfYear: "*/2")
        )
        let weekly = try #require(Crontab(minute: "*/5", dayOfWeek: "0"))
        let blanks = try #require(Crontab(minute: "0, 30", hour: "8 ,16"))
        let paris = try #require(TimeZone(identifier: "Europe/Paris"))
        #expect(
            found == [
                ExpectedEntry(
                    name: "shop.import",
                    task: "shop.import",
                    timing: .interval(seconds: 5400),
                    tolerance: 60
                ),
                ExpectedEntry(name: "nightly", task: "shop.close", timing: .crontab(nightly, paris), tolerance: 900),
                ExpectedEntry(name: "weekly", task: "shop.close", timing: .crontab(weekly, .utc), tolerance: 60),
                ExpectedEntry(name: "blanks", task: "shop.close", timing: .crontab(blanks, .utc), tolerance: 60),
            ]
        )
    }

    @Test func noneInTheFile() throws {
        #expect(try ExpectedSchedule(ConfigurationFile(path: "e.yml", contents: [])) == nil)
    }

    @Test(arguments: [
        ("- {interval: 5s}", "an entry needs task:, the name of the task as the task table has it"),
        ("- {task: a}", "an entry needs interval: (as in 10s) or crontab: (as in 30 4 * * *)"),
        ("- {task: a, interval: 5s, crontab: 0 4 * * *}", "an entry has interval: or crontab:, not both; remove one"),
        (
            "- {task: a, interval: 0s}",
            "interval \"0s\" is none; write a duration such as 30s, 5m or 24h, at least 100ms and at most a year"
        ),
        (
            "- {task: a, interval: 5s, tolerance: soon}",
            "tolerance \"soon\" is none; write a duration such as 30s, 5m or 24h, at least 0ms and at most a year"
        ),
        ("- {task: a, interval: 5s, zone: UTC}", "zone is for crontab; an interval has none, so remove it"),
        (
            "- {task: a, crontab: 0 4 * * 7}",
            "\"0 4 * * 7\" is no crontab that Celery knows; write minute, hour, day of month, month, day of week (0 is Sunday), "
                + "as in 30 4 * * 1-5"
        ),
        (
            "- {task: a, crontab: 0 4 * * 1, zone: Europe/Pari}",
            "this system has no time zone \"Europe/Pari\"; write one such as Europe/Paris, or install or update tzdata"
        ),
        ("- {task: a, intervall: 5s}", "an entry has no key intervall; did you mean interval?"),
        ("- {task: [a], interval: 5s}", "task must be a single value of 1 to 200 characters"),
        ("- {task: '', interval: 5s}", "task must be a single value of 1 to 200 characters"),
        ("- a", "write an entry as task: NAME and interval: DURATION"),
        ("  a", "schedule must be a list of 1 to 1000 entries"),
        ("  []", "schedule must be a list of 1 to 1000 entries"),
    ])
    func refused(text: String, message: String) {
        #expect(throws: ConfigurationError("e.yml:2: \(message)")) { try entries(text) }
    }

    @Test func twoEntriesOfOneName() {
        let message =
            "e.yml:3: the entry a is there already, in line 2; give one of them another name with entry:"
        #expect(throws: ConfigurationError(message)) {
            try entries("- {task: a, interval: 5s}\n- {task: a, interval: 6s}")
        }
    }
}

@Suite struct TaskTablesTests {
    private func definitions(_ text: String) throws -> [TaskTableDefinition] {
        try TaskTables(ConfigurationFile(path: "e.yml", contents: Array(text.utf8))).definitions
    }

    @Test func ownTablesBeforeTheKnownOnes() throws {
        let found = try definitions(
            """
            tables:
              - {table: jobs.runs, status: state, completed: ended, states: {done: SUCCESS}}
              - {table: celery_taskmeta, zone: Europe/Paris, task: label}
            """
        )
        var own = TaskTableDefinition(table: "jobs.runs", columns: [.status: "state", .completed: "ended"])
        own.states = ["done": "SUCCESS"]
        own.isExpected = true
        let before = try #require(TaskTableDefinition.known.first { $0.table == "celery_taskmeta" })
        var known = before
        known.zone = "Europe/Paris"
        known.columns[.task] = "label"
        known.isExpected = true
        #expect(found.prefix(2) == [own, known])
        #expect(found.dropFirst(2).map(\.table) == ["task_info", "task_logs", "django_celery_results_taskresult"])
        #expect(try definitions("") == TaskTableDefinition.known)
    }

    @Test(arguments: [
        ("- {status: a}", "a table needs table:, its name as in SQL"),
        ("- {table: a.b.c}", #""a.b.c" is no name of a table; write it as in SQL, such as jobs.runs or "Jobs"."Runs""#),
        ("- {table: runs, status: a}", "the table runs is not known; say which columns are status: and completed:"),
        ("- {table: task_info, zoen: UTC}", "a table has no key zoen; did you mean zone?"),
        (
            "- {table: task_info, zone: Mars}",
            "this system has no time zone \"Mars\"; write one such as Europe/Paris, or install or update tzdata"
        ),
        ("- {table: task_info, task: ''}", "task must be a name of 1 to 63 bytes"),
        (
            "- {table: task_info, states: {a: OK}}",
            "a must stand for one of FAILURE, IGNORED, PENDING, PROGRESS, RECEIVED, "
                + "REJECTED, RETRY, REVOKED, STARTED, SUCCESS"
        ),
        ("- {table: task_info, states: a}", "states must say its word for each of Celery's, as in {done: SUCCESS}"),
        ("  a", "tables must be a list of 1 to 20 tables"),
    ])
    func refused(text: String, message: String) {
        #expect(throws: ConfigurationError("e.yml:2: \(message)")) { try definitions("tables:\n\(text)") }
    }

    @Test func oneTableTwice() {
        let message = "e.yml:3: the table task_info is there already; describe it once"
        #expect(throws: ConfigurationError(message)) {
            try definitions("tables:\n- {table: task_info}\n- {table: task_info}")
        }
    }
}
