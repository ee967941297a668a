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
        var maximumWorkers = 1000
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
        try readTasks(flags, settings, file)
        try readSchedulers(flags, settings, file)
        try settings.refuseOtherKeys()
        guard target.redBeatAddress != nil || target.database != nil else {
            throw ConfigurationError(
                "nothing to watch: give --broker.url redis://host:6379/0 (or CELERY_BROKER_URL), "
                    + "--database.url postgresql://user@host/database (or DATABASE_URL), or both"
            )
        }
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
