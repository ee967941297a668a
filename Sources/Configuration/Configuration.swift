package import Collection
internal import Glibc
package import HTTP
package import Logging

/// Everything the program was told, checked. Consumers accept nothing else.
package struct Configuration: Sendable {
    package enum LogFormat: String, Sendable {
        case logfmt
        case json
    }

    /// The application that flags and environment tell of; it may be none.
    package var target: Target
    /// Those of the configuration file, by name.
    package var targets: [String: Target]
    package var schedule: CollectionSchedule
    package var listenAddresses: [ListenAddress]
    /// Whether systemd passes sockets, which take the place of addresses.
    package var usesSystemdSockets: Bool
    package var webConfiguration: WebConfigurationFile?
    /// Whether clients may have the configuration reloaded.
    package var enablesLifecycle: Bool
    package var telemetryPath: String
    package var logLevel: Logger.Level
    package var logFormat: LogFormat

    /// Tells this exporter from another that asks the same beats, and stays the same when it is started again.
    package var identity: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(host).\(listenAddresses.first?.port ?? 0)"
    }

    /// Whether another says the same of what only a restart changes.
    package func servesLike(_ other: Configuration) -> Bool {
        listenAddresses == other.listenAddresses && usesSystemdSockets == other.usesSystemdSockets
            && webConfiguration?.path == other.webConfiguration?.path && telemetryPath == other.telemetryPath
            && enablesLifecycle == other.enablesLifecycle && logLevel == other.logLevel && logFormat == other.logFormat
    }
}

extension Configuration {
    /// - Parameter flags: values by the names of flags, those of lists with commas between.
    package init(flags: [String: String], environment: [String: String]) throws(ConfigurationError) {
        let settings = try Self.settings(flags, environment)
        schedule = CollectionSchedule(
            interval: .seconds(try settings.read(Setting.collectInterval)),
            timeout: .seconds(try settings.read(Setting.collectTimeout))
        )
        listenAddresses = try settings.read(Setting.listenAddresses)
        usesSystemdSockets = try settings.read(Setting.systemdSockets)
        webConfiguration = try settings.read(Setting.webConfigurationFile).map {
            (setting) throws(ConfigurationError) in try WebConfigurationFile(path: setting.value)
        }
        enablesLifecycle = try settings.read(Setting.lifecycle)
        telemetryPath = try settings.read(Setting.telemetryPath)
        logLevel = try settings.read(Setting.logLevel)
        logFormat = try settings.read(Setting.logFormat)

        target = try Target(settings, collectTimeout: schedule.timeout)
        try settings.refuseOtherKeys()
        targets = try Self.targets(settings, collectTimeout: schedule.timeout)
        guard target.hasSources || !targets.isEmpty else {
            throw ConfigurationError(
                "nothing to watch: give --broker.url redis://host:6379/0 (or CELERY_BROKER_URL), "
                    + "--database.url postgresql://user@host/database (or DATABASE_URL), or both"
            )
        }
    }

    /// Where the exporter listens, whatever else it was told: a health check in its container has the environment alone.
    package static func firstListenAddress(
        flags: [String: String],
        environment: [String: String]
    ) throws(ConfigurationError) -> ListenAddress {
        try settings(flags, environment).read(Setting.listenAddresses)[0]
    }

    private static func settings(
        _ flags: [String: String],
        _ environment: [String: String]
    ) throws(ConfigurationError) -> Settings {
        let path = try Settings(flags: flags, environment: environment).read(Setting.configurationFile)
        let file = try path.map { path throws(ConfigurationError) in try ConfigurationFile(path: path.value) }
        return Settings(flags: flags, environment: environment, file: file)
    }

    private static func targets(
        _ settings: Settings,
        collectTimeout: Duration
    ) throws(ConfigurationError) -> [String: Target] {
        guard let file = settings.file, let sections = file.targets else { return [:] }
        var targets: [String: Target] = [:]
        for section in sections {
            let own = Settings(of: section.file, in: file, within: settings)
            do throws(ConfigurationError) {
                let target = try Target(own, collectTimeout: collectTimeout)
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
}
