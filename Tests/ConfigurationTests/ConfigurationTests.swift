import Celery
import Collection
import HTTP
import Logging
import Postgres
import Redis
import Testing

@testable import Configuration

@Suite struct ConfigurationTests {
    private func configuration(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Configuration {
        try Configuration(flags: CommandLineArguments(arguments).flags, environment: environment)
    }

    @Test func flagBeforeOwnVariableBeforeSharedOne() throws {
        var environment = ["REDIS_URL": "redis://shared/1"]
        #expect(try configuration([], environment).target.broker?.redis?.database == 1)
        environment["CELERY_BROKER_URL"] = "redis://celery/2"
        #expect(try configuration([], environment).target.broker?.redis?.database == 2)
        environment["CELERY_BEAT_EXPORTER_BROKER_URL"] = "redis://own/3"
        #expect(try configuration([], environment).target.broker?.redis?.database == 3)
        #expect(try configuration(["--broker.url", "redis://flag/4"], environment).target.broker?.redis?.database == 4)
        environment["CELERY_BEAT_EXPORTER_BROKER_URL"] = ""
        #expect(try configuration([], environment).target.broker?.redis?.database == 2)
    }

    @Test func redBeatLivesInTheBrokerUnlessToldOtherwise() throws {
        let one = try configuration(["--broker.url", "redis://b/1"])
        #expect(one.target.redBeatAddress == one.target.broker?.redis)
        #expect(!one.target.redBeat.isExpected)
        let two = try configuration(["--broker.url", "redis://b/1"], ["REDBEAT_REDIS_URL": "redis://r/2"])
        #expect(two.target.redBeatAddress?.database == 2)
        #expect(two.target.redBeat.isExpected)
    }

    @Test func lockKeys() throws {
        func lock(_ arguments: String...) throws -> Any {
            try configuration(["--broker.url", "redis://"] + arguments).target.redBeat.lock
        }
        #expect("\(try lock())" == "standard")
        #expect("\(try lock("--redbeat.lock-key", "none"))" == "off")
        #expect("\(try lock("--redbeat.lock-key", "mine"))" == #"key("redbeat:mine")"#)
        #expect("\(try lock("--redbeat.lock-key", "a:l", "--redbeat.key-prefix", "a:"))" == #"key("a:l")"#)
    }

    @Test func aSharedVariableForAnotherServerIsLeftOut() throws {
        let environment = ["CELERY_BROKER_URL": "amqp://me:secret@h", "DATABASE_URL": "postgresql://h/d"]
        let configuration = try configuration([], environment)
        #expect(configuration.target.broker == nil)
        #expect(configuration.target.database != nil)
        #expect(configuration.target.warnings.count == 1)
        #expect(!configuration.target.warnings.joined().contains("secret"))
        #expect(throws: ConfigurationError.self) {
            try self.configuration(["--broker.url", "amqp://h"], ["DATABASE_URL": "postgresql://h/d"])
        }
    }

    @Test func listsAndDefaults() throws {
        let configuration = try configuration(
            ["--broker.url", "redis://", "--queues", "a, b", "--queues", "c", "--web.listen-address", "127.0.0.1:1"]
        )
        #expect(configuration.target.queues.names == ["a", "b", "c"])
        #expect(configuration.target.queues.keys.prioritySteps == [0, 3, 6, 9])
        #expect(configuration.listenAddresses == [try #require(ListenAddress("127.0.0.1:1"))])
        #expect(configuration.schedule.interval == .seconds(10))
        #expect(configuration.schedule.timeout == .seconds(5))
        #expect(configuration.telemetryPath == "/metrics")
    }

    @Test(arguments: [
        ["--collect.interval", "10"], ["--collect.interval", "0s"], ["--collect.timeout", "-1s"],
        ["--beat.grace", "soon"],
        ["--log.level", "loud"], ["--log.format", "xml"], ["--web.listen-address", "9808"],
        ["--web.listen-address", "::1:9808"],
        ["--web.telemetry-path", "metrics"], ["--web.telemetry-path", "/"], ["--queues.priority-steps", "0,x"],
        ["--queues.priority-steps", "0,0"], ["--beat.scheduler", "cron"], ["--beat.max-entry-series", "-1"],
        ["--database.url", "mysql://h"], ["--redbeat.lock-timeout", "0s"],
    ])
    func refusedByName(arguments: [String]) {
        let error = #expect(throws: ConfigurationError.self) {
            try configuration(["--broker.url", "redis://", arguments.joined(separator: "=")])
        }
        #expect(error?.description.hasPrefix(arguments[0]) == true)
    }

    /// Whatever brought a value may have put blanks around it.
    @Test func blanksAtTheEndsAreNoPartOfAValue() throws {
        let environment = [
            "CELERY_BROKER_URL": "redis://h/1\r\n", "DATABASE_URL": "\u{feff}\tpostgresql://h/d \n", "REDIS_URL": " \n",
            "CELERY_BEAT_EXPORTER_COLLECT_INTERVAL": "5s\n", "CELERY_BEAT_EXPORTER_QUEUES": " a,\n b\n",
            "CELERY_BEAT_EXPORTER_WEB_SYSTEMD_SOCKET": "True\n", "CELERY_BEAT_EXPORTER_LOG_LEVEL": " \n",
        ]
        let read = try configuration(["--beat.grace", " 3s ", "--web.telemetry-path=/m\n"], environment)
        #expect(read.target.broker?.redis == (try RedisAddress(url: "redis://h/1")))
        #expect(read.target.database?.redacted == "PostgreSQL at h, database d")
        #expect(read.target.redBeat.grace == 3)
        #expect(read.target.queues.names == ["a", "b"])
        #expect(read.schedule.interval == .seconds(5))
        #expect(read.telemetryPath == "/m")
        #expect(read.usesSystemdSockets)
        #expect(read.logLevel == .info)
        #expect(read.target.warnings.isEmpty)
    }

    @Test(arguments: [
        "web.systemd-socket", "web.enable-lifecycle", "queues.discover", "redis.sentinel-tls", "redis.tls-skip-verify",
    ])
    func booleansAreReadAlike(flag: String) throws {
        let variable = try #require(Setting.all.first { $0.name == flag }).variable
        for value in ["true", "yes", "on", "1", "True", "YES", "false", "no", "Off", "0"] {
            _ = try configuration(["--broker.url", "redis://"], [variable: value])
        }
        let error = #expect(throws: ConfigurationError.self) {
            try self.configuration(["--broker.url", "redis://"], [variable: "maybe"])
        }
        #expect(error?.description == "\(variable): must be true or false")
    }

    @Test(arguments: ["postgis://h/d", "psql://h/d", "jdbc:postgresql://h/d", "db+postgres://h/d", "host=h dbname=d"])
    func aSharedVariableForPostgresIsNotLeftOut(url: String) throws {
        let read = try configuration([], ["DATABASE_URL": url])
        #expect(read.target.database?.redacted == "PostgreSQL at h, database d")
        #expect(read.target.warnings.isEmpty)
    }

    @Test func nothingToWatch() {
        let error = #expect(throws: ConfigurationError.self) { try configuration([]) }
        #expect(
            error?.description.contains("--broker.url") == true && error?.description.contains("--database.url") == true
        )
    }

    @Test(arguments: [
        ("0", 0), ("500ms", 0.5), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("1d", 86_400), ("1h1ms", 3600.001),
    ])
    func durations(text: String, seconds: Double) {
        #expect(PrometheusDuration.parse(text).map { $0 / .seconds(1) } == seconds)
    }

    @Test(arguments: [
        "", "5", "s", "1s1h", "1s1s", "1.5s", " 1s", "-1s", "99999999999999999999s", "9999999999999y", "1h 1m",
    ])
    func noDurations(text: String) {
        #expect(PrometheusDuration.parse(text) == nil)
    }

    @Test func durationsAsText() {
        let texts = [0, 0.9, 8, 60, 89.9, 1498, 3600, 3605, 63_623, 86_400 * 9 + 3600, -5, .infinity, .nan].map {
            PrometheusDuration.text(seconds: $0)
        }
        #expect(
            texts == [
                "0s", "0s", "8s", "1m", "1m29s", "24m58s", "1h", "1h", "17h40m", "1w2d", "5s", "31709791y51w", "0s",
            ]
        )
    }

    @Test func schedulers() throws {
        let both = ["--broker.url", "redis://", "--database.url", "postgresql://h/d"]
        func target(_ arguments: String...) throws -> Target {
            try configuration(both + arguments).target
        }
        #expect(try target().schedulers == nil)
        #expect(try target("--beat.scheduler", "auto").schedulers == nil)
        let named = try target("--beat.scheduler", "redbeat, django")
        #expect(named.schedulers == [.redbeat, .django])
        #expect(named.redBeat.isExpected)
        let django = try target("--beat.scheduler", "django")
        #expect(!django.redBeat.isExpected)
        #expect(!django.looksFor(.redbeat))
        #expect(try target("--beat.ping", "celerybeat@*").pingPattern == "celerybeat@*")
    }

    @Test(arguments: [
        (["--beat.scheduler", "redbeat,redbeat"], "--beat.scheduler: redbeat is named twice"),
        (["--beat.scheduler", "auto,redbeat"], "--beat.scheduler: must be auto, or some of"),
        (["--beat.scheduler", "evidence"], "--beat.scheduler: evidence needs a list under schedule"),
        (["--beat.scheduler", "ping"], "--beat.scheduler: ping needs --beat.ping"),
        (["--beat.scheduler", "django"], "--beat.scheduler: django needs --database.url"),
        (["--beat.scheduler", "redbeat", "--beat.ping", "b@*"], "--beat.ping: --beat.scheduler leaves ping out"),
        (["--config.file", "/nowhere.yml"], "--config.file: cannot read /nowhere.yml: No such file or directory"),
        (["--config.file", "/"], "--config.file: cannot read /: Is a directory"),
    ])
    func contradictions(arguments: [String], beginning: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try configuration(["--broker.url", "redis://"] + arguments)
        }
        #expect(error?.description.hasPrefix(beginning) == true, "\(error?.description ?? "")")
    }

    @Test func pingsNeedABroker() {
        #expect(throws: ConfigurationError.self) {
            try configuration(["--database.url", "postgresql://h/d", "--beat.ping", "celerybeat@*"])
        }
    }
}
