internal import Celery
internal import HTTP
internal import Logging

/// Every setting of the program. Flags, variables, keys of the configuration file, `--help` and docs/flags.md all come from
/// these rows: a new setting is a row here, and the place that reads it.
enum Setting {
    /// In the order of `--help`.
    static let all: [SettingDescription] = {
        let rows: [[SettingDescription]] = [
            brokerURL.descriptions, brokerKeyPrefix.descriptions, brokerSentinelMaster.descriptions,
            visibilityTimeout.descriptions, redBeatURL.descriptions, redBeatSentinelMaster.descriptions,
            redBeatKeyPrefix.descriptions, redBeatLockKey.descriptions, redBeatLockTimeout.descriptions,
            sentinelUser.descriptions, sentinelPassword.descriptions, sentinelTLS.descriptions,
            allowedNodes.descriptions, redisCAFile.descriptions, redisCertificateFile.descriptions,
            redisKeyFile.descriptions, redisServerName.descriptions, redisSkipsVerification.descriptions,
            schedulers.descriptions, ping.descriptions, maxLoopInterval.descriptions,
            djangoMaxLoopInterval.descriptions, grace.descriptions, maximumEntrySeries.descriptions,
            databaseURL.descriptions, taskWindows.descriptions, durationBuckets.descriptions,
            includedTasks.descriptions, excludedTasks.descriptions, maximumTaskNames.descriptions,
            maximumExceptions.descriptions, maximumWorkers.descriptions, queues.descriptions,
            discoversQueues.descriptions, prioritySteps.descriptions, queueSeparator.descriptions,
            collectInterval.descriptions, collectTimeout.descriptions, listenAddresses.descriptions,
            webConfigurationFile.descriptions, systemdSockets.descriptions, lifecycle.descriptions,
            telemetryPath.descriptions, configurationFile.descriptions, logLevel.descriptions, logFormat.descriptions,
        ]
        return rows.flatMap { $0 }
    }()

    private static let year = 31_536_000.0

    // MARK: The broker

    static let brokerURL = SettingRow.text(
        "broker.url",
        scope: .address,
        aliases: [SharedVariable("CELERY_BROKER_URL"), SharedVariable("REDIS_URL")],
        """
        Celery's broker: redis://user:password@host:6379/0, rediss:// with TLS, unix:///path, \
        sentinel://host:26379;sentinel://host:26379, or a list: redis://one/0;redis://two/0. Also CELERY_BROKER_URL, \
        REDIS_URL.
        """
    ).orFile("A file with the broker's URL, which keeps the password out of sight.")

    static let brokerKeyPrefix = SettingRow.text(
        "broker.key-prefix",
        otherwise: "none",
        "global_keyprefix of broker_transport_options."
    )

    static let brokerSentinelMaster = SettingRow.text(
        "broker.sentinel-master",
        "master_name of broker_transport_options, for a sentinel:// URL."
    )

    static let visibilityTimeout = SettingRow<Double>.seconds(
        "broker.visibility-timeout",
        in: 1...year,
        otherwise: QueueConfiguration().visibilityTimeout,
        "visibility_timeout of broker_transport_options."
    )

    // MARK: RedBeat

    static let redBeatURL = SettingRow.text(
        "redbeat.url",
        scope: .address,
        aliases: [SharedVariable("REDBEAT_REDIS_URL")],
        otherwise: "the broker's",
        """
        RedBeat's Redis, as the broker's, or redis-sentinel://host:26379,host:26379, or \
        redis-cluster://host:6379,host:6379. Also REDBEAT_REDIS_URL.
        """
    ).orFile("A file with RedBeat's URL, which keeps the password out of sight.")

    static let redBeatSentinelMaster = SettingRow.text(
        "redbeat.sentinel-master",
        otherwise: "the broker's; master with redis-sentinel://",
        "service_name of redbeat_redis_options."
    )

    static let redBeatKeyPrefix = SettingRow.text(
        "redbeat.key-prefix",
        otherwise: "redbeat:",
        "redbeat_key_prefix."
    )

    static let redBeatLockKey = SettingRow.text(
        "redbeat.lock-key",
        otherwise: "the prefix and :lock",
        "redbeat_lock_key, or none where it is switched off."
    )

    static let redBeatLockTimeout = SettingRow<Double?>.seconds(
        "redbeat.lock-timeout",
        in: 1...year,
        otherwise: "learnt",
        "redbeat_lock_timeout."
    )

    // MARK: Redis

    static let sentinelUser = SettingRow.text(
        "redis.sentinel-user",
        otherwise: "none",
        "The user to log in to sentinels as."
    )

    static let sentinelPassword = SettingRow.text(
        "redis.sentinel-password",
        otherwise: "none",
        "The sentinels' password."
    ).orFile("A file with the sentinels' password.")

    static let sentinelTLS = SettingRow<Bool?>.truth(
        "redis.sentinel-tls",
        otherwise: "as the Redis they watch",
        "Whether sentinels speak TLS."
    )

    static let allowedNodes = SettingRow.text(
        "redis.allowed-nodes",
        form: .list,
        otherwise: "anywhere",
        """
        Where sentinels and clusters may lead to: hosts, *.redis.internal, networks such as 10.0.0.0/8, each with or \
        without a port; comma-separated; repeatable.
        """
    )

    static let redisCAFile = SettingRow.text(
        "redis.tls-ca-file",
        otherwise: "ssl_ca_certs of the URL, the system's",
        "Trusted CAs of Redis servers with TLS, a PEM file."
    )

    static let redisCertificateFile = SettingRow.text(
        "redis.tls-cert-file",
        otherwise: "ssl_certfile of the URL",
        "The client certificate to show them, a PEM file."
    )

    static let redisKeyFile = SettingRow.text(
        "redis.tls-key-file",
        otherwise: "ssl_keyfile of the URL, the file of the certificate",
        "Its key."
    )

    static let redisServerName = SettingRow.text(
        "redis.tls-server-name",
        otherwise: "the host",
        "The name their certificates must have, those of all nodes of a cluster."
    )

    static let redisSkipsVerification = SettingRow<Bool?>.truth(
        "redis.tls-skip-verify",
        otherwise: "ssl_cert_reqs of the URL, no",
        "Take any certificate: whoever is in between can read along."
    )

    // MARK: Beats

    static let schedulers = SettingRow.text(
        "beat.scheduler",
        form: .list,
        otherwise: "auto, all there are signs of",
        """
        Which beats to report, also while they are missing: redbeat, django, evidence (the file's schedule), ping; \
        comma-separated; repeatable.
        """
    )

    static let ping = SettingRow.text(
        "beat.ping",
        otherwise: "none",
        """
        Ask beats of Celery 5.7 and later that have beat_enable_remote_control, by node name: 'celerybeat@*'. It \
        writes to the broker.
        """
    )

    static let maxLoopInterval = SettingRow<Double?>.seconds(
        "beat.max-loop-interval",
        in: 0.1...year,
        otherwise: "5m, or a fifth of RedBeat's lock timeout if that is longer; 5s for django",
        "beat_max_loop_interval; RedBeat's where there is one."
    )

    static let djangoMaxLoopInterval = SettingRow<Double?>.seconds(
        "django.max-loop-interval",
        in: 0.1...year,
        otherwise: "5s",
        "beat_max_loop_interval of django-celery-beat, where RedBeat has another."
    )

    static let grace = SettingRow<Double>.seconds(
        "beat.grace",
        in: 0...year,
        otherwise: RedBeatConfiguration().grace,
        "How late a beat may be before it counts as dead."
    )

    static let maximumEntrySeries = SettingRow.number(
        "beat.max-entry-series",
        in: 0...20_000,
        otherwise: 1000,
        "Schedule entries that get series of their own; 0 for none."
    )

    // MARK: Tasks

    static let databaseURL = SettingRow.text(
        "database.url",
        scope: .address,
        aliases: [
            SharedVariable("DATABASE_URL"),
            SharedVariable("CELERY_RESULT_BACKEND", whereBackendIs: "CELERY_RESULT_BACKEND"),
        ],
        """
        The PostgreSQL with the task tables: postgresql://user:password@host/database, or as Django, SQLAlchemy and \
        JDBC write it. Also DATABASE_URL, CELERY_RESULT_BACKEND if it is db+postgresql://.
        """
    ).orFile("A file with the database's URL, which keeps the password out of sight.")

    static let taskWindows = SettingRow(
        "tasks.windows",
        form: .list,
        otherwise: "5m,1h",
        absent: TaskConfiguration().windows,
        "Windows of success ratios, comma-separated; repeatable.",
        parse: SettingLists.windows
    )

    static let durationBuckets = SettingRow(
        "tasks.duration-buckets",
        form: .list,
        otherwise: "from 0.005 to 3600",
        absent: TaskConfiguration().durationBounds,
        "Upper bounds of the duration histograms, in seconds; repeatable.",
        parse: SettingLists.durationBounds
    )

    static let includedTasks = SettingRow(
        "tasks.include",
        form: .list,
        otherwise: "all",
        absent: [],
        "Tasks to report, by name or pattern such as shop.*; repeatable.",
        parse: SettingLists.patterns
    )

    static let excludedTasks = SettingRow(
        "tasks.exclude",
        form: .list,
        otherwise: "none",
        absent: [],
        "Tasks not to report; repeatable.",
        parse: SettingLists.patterns
    )

    static let maximumTaskNames = SettingRow.number(
        "tasks.max-names",
        in: 0...10_000,
        otherwise: TaskConfiguration().maximumNames,
        "Task names beyond this count as other."
    )

    static let maximumExceptions = SettingRow.number(
        "tasks.max-exceptions",
        in: 0...10_000,
        otherwise: TaskConfiguration().maximumExceptions,
        "Exception classes beyond this count as other."
    )

    static let maximumWorkers = SettingRow.number(
        "tasks.max-workers",
        in: 0...10_000,
        otherwise: 1000,
        "Workers of worker_status that are reported."
    )

    // MARK: Queues

    static let queues = SettingRow(
        "queues",
        form: .list,
        otherwise: nil,
        absent: [],
        "Queues that are always reported, comma-separated; repeatable.",
        parse: SettingLists.queues
    )

    static let discoversQueues = SettingRow<Bool>.truth(
        "queues.discover",
        otherwise: QueueConfiguration().discovers,
        "Find other queues in kombu's bindings and in the schedule."
    )

    static let prioritySteps = SettingRow(
        "queues.priority-steps",
        otherwise: "0,3,6,9",
        absent: QueueConfiguration().keys.prioritySteps,
        "priority_steps.",
        parse: SettingLists.prioritySteps
    )

    static let queueSeparator = SettingRow.text(
        "queues.separator",
        otherwise: "kombu's",
        "sep of broker_transport_options."
    )

    // MARK: The program

    static let collectInterval = SettingRow<Double>.seconds(
        "collect.interval",
        scope: .program,
        in: 0.1...3600,
        otherwise: 10,
        "Time between two collections."
    )

    static let collectTimeout = SettingRow<Double>.seconds(
        "collect.timeout",
        scope: .program,
        in: 0.1...600,
        otherwise: 5,
        "Time a collection from one source may take."
    )

    static let listenAddresses = SettingRow(
        "web.listen-address",
        form: .list,
        scope: .program,
        otherwise: ":9808",
        absent: ListenAddress(":9808").map { [$0] } ?? [],
        "Where to listen: host:port, or :port for all addresses; repeatable.",
        parse: SettingLists.listenAddresses
    )

    static let webConfigurationFile = SettingRow.text(
        "web.config.file",
        scope: .program,
        otherwise: "none",
        "A YAML file with TLS and passwords, as Prometheus's exporters take it."
    )

    static let systemdSockets = SettingRow<Bool>.truth(
        "web.systemd-socket",
        scope: .program,
        otherwise: false,
        "Listen on sockets that systemd passes, and on no address."
    )

    static let lifecycle = SettingRow<Bool>.truth(
        "web.enable-lifecycle",
        scope: .program,
        otherwise: false,
        "Whether POST /-/reload reloads the configuration, for everyone who reaches the port."
    )

    static let telemetryPath = SettingRow(
        "web.telemetry-path",
        scope: .program,
        otherwise: "/metrics",
        absent: "/metrics",
        "The path of the metrics."
    ) { (found) throws(ConfigurationError) in
        let path = found.value
        guard path.hasPrefix("/"),
            path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !"?#%\"<>{}".utf8.contains($0) })
        else { throw ConfigurationError(found, "must be a path such as /metrics") }
        guard ServedPath(rawValue: path) == nil else {
            throw ConfigurationError(found, "\(path) is taken; choose another, such as /metrics")
        }
        return path
    }

    static let configurationFile = SettingRow.text(
        "config.file",
        scope: .start,
        "A YAML file with settings, and with the schedule that a beat without a trace is expected to keep."
    )

    static let logLevel = SettingRow<Logger.Level>.choice(
        "log.level",
        scope: .program,
        of: ["debug": .debug, "info": .info, "warn": .warning, "error": .error],
        otherwise: "info",
        absent: .info,
        "debug, info, warn or error."
    )

    static let logFormat = SettingRow<Configuration.LogFormat>.choice(
        "log.format",
        scope: .program,
        of: ["logfmt": .logfmt, "json": .json],
        otherwise: "logfmt",
        absent: .logfmt,
        "logfmt or json."
    )
}
