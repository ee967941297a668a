internal import Celery
internal import Postgres
internal import Redis

// What is said of the Celery application: its database, beats, queues and tasks.

extension Target {
    /// - Parameter collectTimeout: within which a beat must answer.
    init(_ flags: Flags, _ settings: Settings, collectTimeout: Duration) throws(ConfigurationError) {
        self.init()
        try readRedis(flags, settings)
        try readBeat(flags, settings)
        try readQueues(flags, settings)
        try readDatabase(flags, settings)
        try readTasks(flags, settings)
        try readSchedulers(flags, settings, collectTimeout)
    }

    private mutating func readBeat(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        if let prefix = settings.find(flags.redBeatKeyPrefix, "redbeat.key-prefix") {
            redBeat.keyPrefix = prefix.value
        }
        if let key = settings.find(flags.redBeatLockKey, "redbeat.lock-key") {
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
        let year = 31_536_000.0
        redBeat.lockTimeout = try settings.seconds(
            flags.redBeatLockTimeout,
            "redbeat.lock-timeout",
            in: 1...year
        )
        redBeat.maxLoopInterval = try settings.seconds(
            flags.beatMaxLoopInterval,
            "beat.max-loop-interval",
            in: 0.1...year
        )
        djangoMaxLoopInterval = try settings.seconds(
            flags.djangoMaxLoopInterval,
            "django.max-loop-interval",
            in: 0.1...year
        )
        redBeat.grace = try settings.seconds(flags.beatGrace, "beat.grace", in: 0...year) ?? redBeat.grace
        maximumEntrySeries =
            try settings.number(flags.beatMaxEntrySeries, "beat.max-entry-series", in: 0...20_000) ?? maximumEntrySeries
    }

    /// Which beats to look for, and how. Whatever is named must be possible, and nothing may be named twice.
    private mutating func readSchedulers(
        _ flags: Flags,
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
        let ping = settings.find(flags.beatPing, "beat.ping")
        let setting = settings.list(flags.beatScheduler, "beat.scheduler")
        // Without a server there is no beat here, and these are for the targets of the file.
        guard hasSources else { return }
        pingPattern = ping?.value
        if let ping, collectTimeout < .seconds(2) {
            throw ConfigurationError(ping, "an answer may take a second; make --collect.timeout at least 2s")
        }
        if let ping, broker == nil { throw ConfigurationError(ping, "needs the broker; give --broker.url") }

        guard let setting, setting.value != "auto" else { return }
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
                case .redbeat: redBeatAddress == nil ? "--redbeat.url or --broker.url" : nil
                case .django: database == nil ? "--database.url" : nil
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
        schedulers = named
        if named.contains(.redbeat) { redBeat.isExpected = true }
    }

    private mutating func readQueues(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        if let prefix = settings.find(flags.brokerKeyPrefix, "broker.key-prefix") {
            queues.keys.prefix = prefix.value
        }
        if let named = settings.list(flags.queues, "queues") {
            queues.names = named.value.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty }
            guard queues.names.count <= queues.maximumQueues else {
                throw ConfigurationError(named, "at most \(queues.maximumQueues) queues")
            }
        }
        let year = 31_536_000.0
        if let timeout = try settings.seconds(flags.brokerVisibilityTimeout, "broker.visibility-timeout", in: 1...year)
        {
            queues.visibilityTimeout = timeout
        }
        queues.discovers = try settings.truth(flags.queuesDiscover, "queues.discover") ?? true
        if let separator = settings.find(flags.queuesSeparator, "queues.separator") {
            queues.keys.separator = separator.value
        }
        if let steps = settings.find(flags.queuesPrioritySteps, "queues.priority-steps") {
            let numbers = steps.value.split(separator: ",").map { Int($0.trimmed) }
            let valid = numbers.compactMap { $0 }.filter { (0...255).contains($0) }
            guard valid.count == numbers.count, !valid.isEmpty, valid.count <= 32, Set(valid).count == valid.count
            else {
                throw ConfigurationError(steps, "must be different numbers from 0 to 255, as in 0,3,6,9")
            }
            queues.keys.prioritySteps = valid.sorted()
        }
    }

    /// Whether a text is meant for PostgreSQL, well-formed or not.
    private func namesPostgres(_ text: String) -> Bool {
        let text = text.trimmed
        return PostgresURL.isOne(text) || text.lowercased().hasPrefix("host")
    }

    private mutating func readDatabase(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        // Another result backend says nothing of a database.
        let backend = "CELERY_RESULT_BACKEND"
        let hasBackend = settings.environment[backend].map { $0.trimmed.hasPrefix("db+") && namesPostgres($0) } ?? false
        let aliases = ["DATABASE_URL"] + (hasBackend ? [backend] : [])
        let found = try settings.secret(flags.databaseURL, flags.databaseURLFile, "database.url", aliases: aliases)
        guard let setting = leavingOut(found, unless: namesPostgres) else { return }
        do {
            let address = try PostgresAddress(setting.value)
            warnings += address.remarks.map { "\(setting.origin): \($0)" }
            database = address
        } catch {
            throw ConfigurationError(setting, error.description)
        }
    }

    private mutating func readTasks(_ flags: Flags, _ settings: Settings) throws(ConfigurationError) {
        if let windows = settings.list(flags.tasksWindows, "tasks.windows") {
            tasks.windows = []
            for name in windows.value.split(separator: ",").map(\.trimmed) {
                let seconds = PrometheusDuration.parse(name).map { Int64($0 / .seconds(1)) } ?? 0
                guard (60...21_600).contains(seconds), tasks.windows.count < 8 else {
                    throw ConfigurationError(windows, "must be at most 8 durations from 1m to 6h, as in 5m,1h")
                }
                tasks.windows.append(TaskWindow(name: name, seconds: seconds))
            }
            guard Set(tasks.windows.map(\.seconds)).count == tasks.windows.count else {
                throw ConfigurationError(windows, "must be different durations, as in 5m,1h")
            }
        }
        if let buckets = settings.list(flags.tasksDurationBuckets, "tasks.duration-buckets") {
            let bounds = buckets.value.split(separator: ",").map { Double($0.trimmed) ?? .nan }
            guard (1...50).contains(bounds.count), bounds.allSatisfy({ $0 > 0 && $0 < 1e9 }),
                zip(bounds, bounds.dropFirst()).allSatisfy(<)
            else {
                throw ConfigurationError(buckets, "must be 1 to 50 ascending numbers of seconds, as in 0.1,1,10,60")
            }
            tasks.durationBounds = bounds
        }
        func patterns(_ values: [String], _ flag: String) throws(ConfigurationError) -> [String] {
            guard let setting = settings.list(values, flag) else { return [] }
            let patterns = setting.value.split(separator: ",").map(\.trimmed).filter { !$0.isEmpty }
            guard patterns.count <= 100 else { throw ConfigurationError(setting, "at most 100 patterns") }
            return patterns
        }
        tasks.include = try patterns(flags.tasksInclude, "tasks.include")
        tasks.exclude = try patterns(flags.tasksExclude, "tasks.exclude")
        let names = 0...10_000
        if let number = try settings.number(flags.tasksMaxNames, "tasks.max-names", in: names) {
            tasks.maximumNames = number
        }
        if let number = try settings.number(flags.tasksMaxExceptions, "tasks.max-exceptions", in: names) {
            tasks.maximumExceptions = number
        }
        if let number = try settings.number(flags.tasksMaxWorkers, "tasks.max-workers", in: names) {
            maximumWorkers = number
        }
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
