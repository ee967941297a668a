internal import Celery
internal import Postgres
internal import Redis

// What is said of the Celery application: its database, beats, queues and tasks.

extension Target {
    /// - Parameter collectTimeout: within which a beat must answer.
    init(_ settings: Settings, collectTimeout: Duration) throws(ConfigurationError) {
        self.init()
        try readRedis(settings)
        try readBeat(settings)
        try readQueues(settings)
        try readDatabase(settings)
        try readTasks(settings)
        try readSchedulers(settings, collectTimeout)
    }

    private mutating func readBeat(_ settings: Settings) throws(ConfigurationError) {
        if let prefix = try settings.read(Setting.redBeatKeyPrefix) { redBeat.keyPrefix = prefix.value }
        if let key = try settings.read(Setting.redBeatLockKey) {
            let prefix = redBeat.keyPrefix
            // RedBeat 2.3 and later puts the prefix before a key that lacks it.
            redBeat.lock =
                key.value == "none" ? .off : .key(key.value.hasPrefix(prefix) ? key.value : prefix + key.value)
            if key.value == "none", case .cluster = redBeatAddress?.servers, !HashSlot.isTagged(prefix: prefix) {
                throw ConfigurationError(
                    key,
                    "without the lock, entries can be found on one node of a Redis Cluster alone; keep them together by a "
                        + "hash tag in redbeat_key_prefix, as in {redbeat}:, and give it by --redbeat.key-prefix"
                )
            }
        }
        redBeat.lockTimeout = try settings.read(Setting.redBeatLockTimeout)
        redBeat.maxLoopInterval = try settings.read(Setting.maxLoopInterval)
        djangoMaxLoopInterval = try settings.read(Setting.djangoMaxLoopInterval)
        redBeat.grace = try settings.read(Setting.grace)
        maximumEntrySeries = try settings.read(Setting.maximumEntrySeries)
    }

    /// Which beats to look for, and how. Whatever is named must be possible, and nothing may be named twice.
    private mutating func readSchedulers(
        _ settings: Settings,
        _ collectTimeout: Duration
    ) throws(ConfigurationError) {
        let file = settings.file
        let schedule = try file.flatMap { file throws(ConfigurationError) in try ExpectedSchedule(file) }
        expectedEntries = schedule?.entries ?? []
        if let file, let schedule, database == nil {
            throw file.error(
                line: schedule.line,
                "schedule needs the database with the task table; give --database.url"
            )
        }
        let ping = try settings.read(Setting.ping)
        let setting = try settings.read(Setting.schedulers)
        // Without a server there is no beat here, and these are for the targets of the file.
        guard hasSources else { return }
        pingPattern = ping?.value
        if let ping, collectTimeout < .seconds(2) {
            throw ConfigurationError(ping, "an answer may take a second; make --collect.timeout at least 2s")
        }
        if let ping, broker == nil { throw ConfigurationError(ping, "needs the broker; give --broker.url") }

        guard let setting, setting.value != "auto" else { return }
        var named: Set<Scheduler> = []
        let names = Scheduler.allCases.map(\.rawValue).joined(separator: ", ")
        for name in setting.value.split(separator: ",").map(\.trimmed) {
            guard let scheduler = Scheduler(rawValue: name) else {
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
                case .redbeat: redBeatAddress == nil ? "--redbeat.url or --broker.url" : nil
                case .django: database == nil ? "--database.url" : nil
                case .evidence: schedule == nil ? "a list under schedule in the configuration file" : nil
                case .ping: ping == nil ? "--beat.ping" : nil
                }
            if let needs { throw ConfigurationError(setting, "\(name) needs \(needs)") }
        }
        guard !named.isEmpty else { throw ConfigurationError(setting, "must be auto, or some of \(names)") }
        if let file, let schedule, !named.contains(.evidence) {
            throw file.error(
                line: schedule.line,
                "schedule is given, but \(setting.origin) leaves evidence out; add it there or remove schedule"
            )
        }
        if let ping, !named.contains(.ping) {
            throw ConfigurationError(ping, "\(setting.origin) leaves ping out; add it there or remove beat.ping")
        }
        schedulers = named
        if named.contains(.redbeat) { redBeat.isExpected = true }
    }

    private mutating func readQueues(_ settings: Settings) throws(ConfigurationError) {
        if let prefix = try settings.read(Setting.brokerKeyPrefix) { queues.keys.prefix = prefix.value }
        if let separator = try settings.read(Setting.queueSeparator) { queues.keys.separator = separator.value }
        queues.keys.prioritySteps = try settings.read(Setting.prioritySteps)
        queues.names = try settings.read(Setting.queues)
        queues.discovers = try settings.read(Setting.discoversQueues)
        queues.visibilityTimeout = try settings.read(Setting.visibilityTimeout)
    }

    /// Whether a text is meant for PostgreSQL, well-formed or not.
    static func namesPostgres(_ text: String) -> Bool {
        let text = text.trimmed
        return PostgresURL.isOne(text) || text.lowercased().hasPrefix("host")
    }

    private mutating func readDatabase(_ settings: Settings) throws(ConfigurationError) {
        let found = try settings.read(Setting.databaseURL)
        guard let setting = leavingOut(found, unless: Self.namesPostgres) else { return }
        do {
            let address = try PostgresAddress(setting.value)
            warnings += address.remarks.map { "\(setting.origin): \($0)" }
            database = address
        } catch {
            throw ConfigurationError(setting, error.description)
        }
    }

    private mutating func readTasks(_ settings: Settings) throws(ConfigurationError) {
        tasks.windows = try settings.read(Setting.taskWindows)
        tasks.durationBounds = try settings.read(Setting.durationBuckets)
        tasks.include = try settings.read(Setting.includedTasks)
        tasks.exclude = try settings.read(Setting.excludedTasks)
        tasks.maximumNames = try settings.read(Setting.maximumTaskNames)
        tasks.maximumExceptions = try settings.read(Setting.maximumExceptions)
        maximumWorkers = try settings.read(Setting.maximumWorkers)
        if let file = settings.file { tasks.tables = try TaskTables(file).definitions }
    }

    /// A variable that the application has for itself may well name another kind of server, which is no mistake: it is
    /// left out with a warning. What was given to the exporter itself is never left out.
    mutating func leavingOut(
        _ setting: Settings.Found?,
        unless isMeant: (String) -> Bool
    ) -> Settings.Found? {
        guard let setting, setting.isShared else { return setting }
        if isMeant(setting.value) { return setting }
        warnings.append("\(setting.origin): names no server this program reads, and is left out")
        return nil
    }
}
