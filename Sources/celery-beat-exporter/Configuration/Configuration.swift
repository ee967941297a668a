internal import Collection
internal import Glibc
internal import HTTP
internal import Logging

/// Everything the program was told, checked. Consumers accept nothing else.
struct Configuration: Sendable {
    enum LogFormat: String {
        case logfmt
        case json
    }

    /// The application that flags and environment tell of; it may be none.
    var target: Target
    /// Those of the configuration file, by name.
    var targets: [String: Target]
    var schedule: CollectionSchedule
    var listenAddresses: [ListenAddress]
    /// Whether systemd passes sockets, which take the place of addresses.
    var usesSystemdSockets: Bool
    var webConfiguration: WebConfigurationFile?
    /// Whether clients may have the configuration reloaded.
    var enablesLifecycle: Bool
    var telemetryPath: String
    var logLevel: Logger.Level
    var logFormat: LogFormat

    /// Tells this exporter from another that asks the same beats, and stays the same when it is started again.
    var identity: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(host).\(listenAddresses.first?.port ?? 0)"
    }

    /// Whether another says the same of what only a restart changes.
    func servesLike(_ other: Configuration) -> Bool {
        listenAddresses == other.listenAddresses && usesSystemdSockets == other.usesSystemdSockets
            && webConfiguration?.path == other.webConfiguration?.path && telemetryPath == other.telemetryPath
            && enablesLifecycle == other.enablesLifecycle && logLevel == other.logLevel && logFormat == other.logFormat
    }
}

extension Configuration {
    init(_ flags: Flags, environment: [String: String]) throws(ConfigurationError) {
        let settings = try Self.settings(flags, environment)
        schedule = CollectionSchedule(
            interval: try settings.duration(flags.collectInterval, "collect.interval", in: 0.1...3600) ?? .seconds(10),
            timeout: try settings.duration(flags.collectTimeout, "collect.timeout", in: 0.1...600) ?? .seconds(5)
        )
        listenAddresses = try Self.listenAddresses(settings.list(flags.webListenAddress, "web.listen-address"))
        usesSystemdSockets = try settings.truth(flags.webSystemdSocket, "web.systemd-socket") ?? false
        webConfiguration = try settings.find(flags.webConfigFile, "web.config.file").map {
            (setting) throws(ConfigurationError) in try WebConfigurationFile(path: setting.value)
        }
        enablesLifecycle = try settings.truth(flags.webEnableLifecycle, "web.enable-lifecycle") ?? false
        telemetryPath = try Self.telemetryPath(settings.find(flags.webTelemetryPath, "web.telemetry-path"))
        logLevel =
            try settings.choice(
                flags.logLevel,
                "log.level",
                ["debug": .debug, "info": .info, "warn": .warning, "error": .error]
            ) ?? .info
        logFormat = try settings.choice(flags.logFormat, "log.format", ["logfmt": .logfmt, "json": .json]) ?? .logfmt

        target = try Target(flags, settings, collectTimeout: schedule.timeout)
        try settings.refuseOtherKeys()
        targets = try Self.targets(flags, settings, collectTimeout: schedule.timeout)
        guard target.hasSources || !targets.isEmpty else {
            throw ConfigurationError(
                "nothing to watch: give --broker.url redis://host:6379/0 (or CELERY_BROKER_URL), "
                    + "--database.url postgresql://user@host/database (or DATABASE_URL), or both"
            )
        }
    }

    /// Where the exporter listens, whatever else it was told: a health check in its container has the environment alone.
    static func firstListenAddress(
        _ flags: Flags,
        environment: [String: String]
    ) throws(ConfigurationError) -> ListenAddress {
        let found = try settings(flags, environment).list(flags.webListenAddress, "web.listen-address")
        return try listenAddresses(found)[0]
    }

    private static func settings(_ flags: Flags, _ environment: [String: String]) throws(ConfigurationError) -> Settings
    {
        let path = Settings(environment: environment).find(flags.configFile, "config.file")
        let file = try path.map { path throws(ConfigurationError) in try ConfigurationFile(path: path.value) }
        return Settings(environment: environment, file: file)
    }

    private static func targets(
        _ flags: Flags,
        _ settings: Settings,
        collectTimeout: Duration
    ) throws(ConfigurationError) -> [String: Target] {
        guard let file = settings.file, let sections = file.targets else { return [:] }
        var targets: [String: Target] = [:]
        for section in sections {
            let own = Settings(of: section.file, within: settings)
            do throws(ConfigurationError) {
                let target = try Target(flags, own, collectTimeout: collectTimeout)
                try own.refuseOtherKeys()
                guard target.hasSources else {
                    throw file.error(line: section.line, "nothing to watch; give it broker.url, database.url or both")
                }
                targets[section.name] = target
            } catch {
                // What is wrong may be inherited, and then the line does not tell for whom.
                throw ConfigurationError("\(error) (target \(section.name))")
            }
        }
        return targets
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
        guard path.hasPrefix("/"),
            path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !"?#%\"<>{}".utf8.contains($0) })
        else { throw ConfigurationError(setting, "must be a path such as /metrics") }
        guard !Routes.reservedPaths.contains(path) else {
            throw ConfigurationError(setting, "\(path) is taken; choose another, such as /metrics")
        }
        return path
    }
}
