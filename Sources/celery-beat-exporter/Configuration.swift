internal import Celery
internal import Collection
internal import HTTP
internal import Logging
internal import Postgres
internal import Redis

/// Everything the program was told, checked. Consumers accept nothing else.
struct Configuration {
    /// One Celery application.
    struct Target {
        var broker: RedisAddress?
        var redBeatAddress: RedisAddress?
        var redBeat = RedBeatConfiguration()
        var queues = QueueConfiguration()
        var database: PostgresAddress?
        var tasks = TaskConfiguration()
        /// Which schedulers to look for; nil for all there are signs of.
        var schedulers: Set<Scheduler>?
        /// What a beat that leaves no trace but its tasks is expected to do; empty where there is none.
        var expectedEntries: [ExpectedEntry] = []
        /// Which nodes of Celery's remote control are beats to ask; nil for none.
        var pingPattern: String?

        /// Whether to look for a scheduler.
        func looksFor(_ scheduler: Scheduler) -> Bool {
            schedulers?.contains(scheduler) ?? true
        }
    }

    /// The schedulers, by the label that their metrics carry.
    enum Scheduler: String, CaseIterable {
        case redbeat
        case django
        case evidence
        case ping
    }

    enum LogFormat: String {
        case logfmt
        case json
    }

    var target = Target()
    var maximumEntrySeries = 1000
    var collectInterval: Duration
    var collectTimeout: Duration
    var listenAddresses: [ListenAddress]
    var telemetryPath: String
    var logLevel: Logger.Level
    var logFormat: LogFormat
    /// What was understood otherwise than it may have been meant; for the log.
    var warnings: [String] = []
}

extension Configuration {
    init(_ flags: Flags, environment: [String: String]) throws(ConfigurationError) {
        let path = Settings(environment: environment).find(flags.configFile, "config.file")
        let file = try path.map { path throws(ConfigurationError) in try ConfigurationFile(path: path.value) }
        let settings = Settings(environment: environment, file: file)

        collectInterval =
            try settings.duration(flags.collectInterval, "collect.interval", in: 0.1...3600) ?? .seconds(10)
        collectTimeout = try settings.duration(flags.collectTimeout, "collect.timeout", in: 0.1...600) ?? .seconds(5)
        listenAddresses = try Self.listenAddresses(settings.list(flags.webListenAddress, "web.listen-address"))
        telemetryPath = try Self.telemetryPath(settings.find(flags.webTelemetryPath, "web.telemetry-path"))
        logLevel =
            try settings.choice(
                flags.logLevel,
                "log.level",
                ["debug": .debug, "info": .info, "warn": .warning, "error": .error]
            ) ?? .info
        logFormat = try settings.choice(flags.logFormat, "log.format", ["logfmt": .logfmt, "json": .json]) ?? .logfmt

        try readRedis(flags, settings)
        try readBeat(flags, settings)
        try readQueues(flags, settings)
        try readDatabase(flags, settings)
        try readSchedulers(flags, settings, file)
        try settings.refuseOtherKeys()
        guard target.redBeatAddress != nil || target.database != nil else {
            throw ConfigurationError(
                "nothing to watch: give --broker.url redis://host:6379/0 (or CELERY_BROKER_URL), "
                    + "--database.url postgresql://user@host/database (or DATABASE_URL), or both"
            )
        }
    }

    private mutating func readRedis(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        func address(_ setting: Settings.Found?) throws(ConfigurationError) -> RedisAddress? {
            guard let setting else { return nil }
            do {
                return try RedisAddress(url: setting.value)
            } catch {
                throw ConfigurationError(setting, error.description)
            }
        }
        let broker = settings.find(flags.brokerURL, "broker.url", aliases: ["CELERY_BROKER_URL", "REDIS_URL"])
        target.broker = try address(leavingOut(broker, unless: ["redis", "unix", "sentinel"]))
        let redBeat = settings.find(flags.redBeatURL, "redbeat.url", aliases: ["REDBEAT_REDIS_URL"])
        target.redBeatAddress = try address(redBeat) ?? target.broker
        target.redBeat.isExpected = redBeat != nil
    }

    private mutating func readBeat(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        if let prefix = settings.find(flags.redBeatKeyPrefix, "redbeat.key-prefix") {
            target.redBeat.keyPrefix = prefix.value
        }
        if let key = settings.find(flags.redBeatLockKey, "redbeat.lock-key") {
            let prefix = target.redBeat.keyPrefix
            // RedBeat 2.3 and later puts the prefix before a key that lacks it.
            target.redBeat.lock =
                key.value == "none" ? .off : .key(key.value.hasPrefix(prefix) ? key.value : prefix + key.value)
        }
        let year = 31_536_000.0
        target.redBeat.lockTimeout = try settings.seconds(
            flags.redBeatLockTimeout,
            "redbeat.lock-timeout",
            in: 1...year
        )
        target.redBeat.maxLoopInterval = try settings.seconds(
            flags.beatMaxLoopInterval,
            "beat.max-loop-interval",
            in: 0.1...year
        )
        target.redBeat.grace = try settings.seconds(flags.beatGrace, "beat.grace", in: 0...year) ?? target.redBeat.grace
        maximumEntrySeries =
            try settings.number(flags.beatMaxEntrySeries, "beat.max-entry-series", in: 0...20_000) ?? maximumEntrySeries
    }

    /// Which beats to look for, and how. Whatever is named must be possible, and nothing may be named twice.
    private mutating func readSchedulers(
        _ flags: Flags,
        _ settings: Settings,
        _ file: ConfigurationFile?
    ) throws(ConfigurationError) {
        let schedule = try file.flatMap { file throws(ConfigurationError) in try ExpectedSchedule(file) }
        target.expectedEntries = schedule?.entries ?? []
        if let file, let schedule, target.database == nil {
            throw file.error(
                line: schedule.line,
                "schedule needs the database with the task table; give --database.url"
            )
        }
        let ping = settings.find(flags.beatPing, "beat.ping")
        target.pingPattern = ping?.value
        if let ping, target.broker == nil { throw ConfigurationError(ping, "needs the broker; give --broker.url") }

        guard let setting = settings.list(flags.beatScheduler, "beat.scheduler"), setting.value != "auto" else {
            return
        }
        var named: Set<Scheduler> = []
        for name in setting.value.split(separator: ",").map(\.trimmed) {
            guard let scheduler = Scheduler(rawValue: name) else {
                let names = Scheduler.allCases.map(\.rawValue).joined(separator: ", ")
                throw ConfigurationError(setting, "must be auto, or some of \(names)")
            }
            guard named.insert(scheduler).inserted else {
                throw ConfigurationError(
                    setting,
                    "\(name) is named twice, and two beats cannot share the label; name it once, and give the other "
                        + "application an exporter of its own"
                )
            }
            let needs: String? =
                switch scheduler {
                case .redbeat: target.redBeatAddress == nil ? "--redbeat.url or --broker.url" : nil
                case .django: target.database == nil ? "--database.url" : nil
                case .evidence: schedule == nil ? "a list under schedule in the configuration file" : nil
                case .ping: ping == nil ? "--beat.ping" : nil
                }
            if let needs { throw ConfigurationError(setting, "\(name) needs \(needs)") }
        }
        if let file, let schedule, !named.contains(.evidence) {
            throw file.error(
                line: schedule.line,
                "schedule is given, but \(setting.origin) leaves evidence out; add it there or remove schedule"
            )
        }
        if let ping, !named.contains(.ping) {
            throw ConfigurationError(ping, "\(setting.origin) leaves ping out; add it there or remove beat.ping")
        }
        target.schedulers = named
        if named.contains(.redbeat) { target.redBeat.isExpected = true }
    }

    private mutating func readQueues(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        if let prefix = settings.find(flags.brokerKeyPrefix, "broker.key-prefix") {
            target.queues.keys.prefix = prefix.value
        }
        if let queues = settings.list(flags.queues, "queues") {
            target.queues.names = queues.value.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty }
            guard target.queues.names.count <= target.queues.maximumQueues else {
                throw ConfigurationError(queues, "at most \(target.queues.maximumQueues) queues")
            }
        }
        let year = 31_536_000.0
        if let timeout = try settings.seconds(flags.brokerVisibilityTimeout, "broker.visibility-timeout", in: 1...year)
        {
            target.queues.visibilityTimeout = timeout
        }
        target.queues.discovers =
            try settings.choice(
                flags.queuesDiscover.map { $0 ? "yes" : "no" },
                "queues.discover",
                ["yes": true, "no": false, "true": true, "false": false]
            ) ?? true
        if let separator = settings.find(flags.queuesSeparator, "queues.separator") {
            target.queues.keys.separator = separator.value
        }
        if let steps = settings.find(flags.queuesPrioritySteps, "queues.priority-steps") {
            let numbers = steps.value.split(separator: ",").map { Int($0.trimmed) }
            let valid = numbers.compactMap { $0 }.filter { (0...255).contains($0) }
            guard valid.count == numbers.count, !valid.isEmpty, valid.count <= 32, Set(valid).count == valid.count
            else {
                throw ConfigurationError(steps, "must be different numbers from 0 to 255, as in 0,3,6,9")
            }
            target.queues.keys.prioritySteps = valid.sorted()
        }
    }

    private mutating func readDatabase(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        // Another result backend says nothing of a database.
        let backend = "CELERY_RESULT_BACKEND"
        let hasBackend = settings.environment[backend]?.hasPrefix("db+postgresql") == true
        let aliases = ["DATABASE_URL"] + (hasBackend ? [backend] : [])
        let found = settings.find(flags.databaseURL, "database.url", aliases: aliases)
        guard let setting = leavingOut(found, unless: ["postgres", "db+postgres", "host"]) else { return }
        do {
            let address = try PostgresAddress(setting.value)
            for parameter in address.ignoredParameters {
                warnings.append("\(setting.origin): the parameter \(parameter) is not for PostgreSQL and is left out")
            }
            target.database = address
        } catch {
            throw ConfigurationError(setting, error.description)
        }
    }

    /// A variable that the application has for itself may well name another kind of server, which is no mistake: it is
    /// left out with a warning. What was given to the exporter itself is never left out.
    private mutating func leavingOut(
        _ setting: Settings.Found?,
        unless beginnings: [String]
    ) -> Settings.Found? {
        guard let setting, setting.isShared else { return setting }
        let value = setting.value.lowercased()
        if beginnings.contains(where: { value.hasPrefix($0) }) { return setting }
        warnings.append("\(setting.origin): names no server this program reads, and is left out")
        return nil
    }

    private static func listenAddresses(_ setting: Settings.Found?) throws(ConfigurationError) -> [ListenAddress] {
        guard let setting else { return ListenAddress(":9808").map { [$0] } ?? [] }
        var addresses: [ListenAddress] = []
        for text in setting.value.split(separator: ",") {
            guard let address = ListenAddress(text.trimmed) else {
                throw ConfigurationError(setting, "write host:port, [IPv6]:port or :port, as in 127.0.0.1:9808")
            }
            addresses.append(address)
        }
        guard !addresses.isEmpty, addresses.count <= 16 else {
            throw ConfigurationError(setting, "give 1 to 16 addresses, as in 127.0.0.1:9808")
        }
        return addresses
    }

    private static func telemetryPath(_ setting: Settings.Found?) throws(ConfigurationError) -> String {
        guard let setting else { return "/metrics" }
        let path = setting.value
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !"?#%\"<>".utf8.contains($0) })
        else { throw ConfigurationError(setting, "must be a path such as /metrics") }
        guard !Routes.reservedPaths.contains(path) else {
            throw ConfigurationError(setting, "\(path) is taken; choose another, such as /metrics")
        }
        return path
    }
}

extension Settings {
    func duration(
        _ flagValue: String?,
        _ flag: String,
        in range: ClosedRange<Double>
    ) throws(ConfigurationError) -> Duration? {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let duration = PrometheusDuration.parse(setting.value) else {
            throw ConfigurationError(setting, "not a duration; write 500ms, 10s, 5m or 1h30m")
        }
        guard range.contains(duration / .seconds(1)) else {
            throw ConfigurationError(setting, "must be from \(range.lowerBound) to \(range.upperBound) seconds")
        }
        return duration
    }

    func seconds(_ flagValue: String?, _ flag: String, in range: ClosedRange<Double>) throws(ConfigurationError)
        -> Double?
    {
        try duration(flagValue, flag, in: range).map { $0 / .seconds(1) }
    }

    func number(_ flagValue: String?, _ flag: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let number = Int(setting.value), range.contains(number) else {
            throw ConfigurationError(setting, "must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func choice<Value>(_ flagValue: String?, _ flag: String, _ choices: [String: Value]) throws(ConfigurationError)
        -> Value?
    {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let value = choices[setting.value] else {
            throw ConfigurationError(setting, "must be one of \(choices.keys.sorted().joined(separator: ", "))")
        }
        return value
    }
}

extension Substring {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
