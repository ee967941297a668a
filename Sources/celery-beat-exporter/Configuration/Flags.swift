internal import ArgumentParser

/// The flags of every command. Each value is text or absent here; `Configuration` checks it, together with the environment.
struct Flags: ParsableArguments {
    @Option(
        name: .customLong("broker.url"),
        help: """
            Celery's broker: redis://user:password@host:6379/0, rediss:// with TLS, unix:///path, \
            sentinel://host:26379;sentinel://host:26379, or a list: redis://one/0;redis://two/0. Also CELERY_BROKER_URL, \
            REDIS_URL.
            """
    )
    var brokerURL: String?

    @Option(
        name: .customLong("broker.url-file"),
        help: "A file with the broker's URL, which keeps the password out of sight."
    )
    var brokerURLFile: String?

    @Option(
        name: .customLong("broker.key-prefix"),
        help: "global_keyprefix of broker_transport_options. (default: none)"
    )
    var brokerKeyPrefix: String?

    @Option(
        name: .customLong("broker.sentinel-master"),
        help: "master_name of broker_transport_options, for a sentinel:// URL."
    )
    var brokerSentinelMaster: String?

    @Option(
        name: .customLong("broker.visibility-timeout"),
        help: "visibility_timeout of broker_transport_options. (default: 1h)"
    )
    var brokerVisibilityTimeout: String?

    @Option(
        name: .customLong("redbeat.url"),
        help: """
            RedBeat's Redis, as the broker's, or redis-sentinel://host:26379,host:26379, or \
            redis-cluster://host:6379,host:6379. Also REDBEAT_REDIS_URL. (default: the broker's)
            """
    )
    var redBeatURL: String?

    @Option(
        name: .customLong("redbeat.url-file"),
        help: "A file with RedBeat's URL, which keeps the password out of sight."
    )
    var redBeatURLFile: String?

    @Option(
        name: .customLong("redbeat.sentinel-master"),
        help: "service_name of redbeat_redis_options. (default: the broker's; master with redis-sentinel://)"
    )
    var redBeatSentinelMaster: String?

    @Option(name: .customLong("redbeat.key-prefix"), help: "redbeat_key_prefix. (default: redbeat:)")
    var redBeatKeyPrefix: String?

    @Option(
        name: .customLong("redbeat.lock-key"),
        help: "redbeat_lock_key, or none where it is switched off. (default: the prefix and :lock)"
    )
    var redBeatLockKey: String?

    @Option(name: .customLong("redbeat.lock-timeout"), help: "redbeat_lock_timeout. (default: learnt)")
    var redBeatLockTimeout: String?

    @Option(name: .customLong("redis.sentinel-user"), help: "The user to log in to sentinels as. (default: none)")
    var redisSentinelUser: String?

    @Option(name: .customLong("redis.sentinel-password"), help: "The sentinels' password. (default: none)")
    var redisSentinelPassword: String?

    @Option(name: .customLong("redis.sentinel-password-file"), help: "A file with the sentinels' password.")
    var redisSentinelPasswordFile: String?

    @Flag(
        name: .customLong("redis.sentinel-tls"),
        inversion: .prefixedNo,
        help: "Whether sentinels speak TLS. (default: as the Redis they watch)"
    )
    var redisSentinelTLS: Bool?

    @Option(
        name: .customLong("redis.allowed-nodes"),
        help: """
            Where sentinels and clusters may lead to: hosts, *.redis.internal, networks such as 10.0.0.0/8, each with or \
            without a port; comma-separated; repeatable. (default: anywhere)
            """
    )
    var redisAllowedNodes: [String] = []

    @Option(
        name: .customLong("redis.tls-ca-file"),
        help: "Trusted CAs of Redis servers with TLS, a PEM file. (default: ssl_ca_certs of the URL, the system's)"
    )
    var redisTLSCAFile: String?

    @Option(
        name: .customLong("redis.tls-cert-file"),
        help: "The client certificate to show them, a PEM file. (default: ssl_certfile of the URL)"
    )
    var redisTLSCertFile: String?

    @Option(
        name: .customLong("redis.tls-key-file"),
        help: "Its key. (default: ssl_keyfile of the URL, the file of the certificate)"
    )
    var redisTLSKeyFile: String?

    @Option(
        name: .customLong("redis.tls-server-name"),
        help: "The name their certificates must have, those of all nodes of a cluster. (default: the host)"
    )
    var redisTLSServerName: String?

    @Flag(
        name: .customLong("redis.tls-skip-verify"),
        inversion: .prefixedNo,
        help: "Take any certificate: whoever is in between can read along. (default: ssl_cert_reqs of the URL, no)"
    )
    var redisTLSSkipVerify: Bool?

    @Option(
        name: .customLong("beat.scheduler"),
        help: """
            Which beats to report, also while they are missing: redbeat, django, evidence (the file's schedule), ping; \
            comma-separated. (default: auto, all there are signs of)
            """
    )
    var beatScheduler: [String] = []

    @Option(
        name: .customLong("beat.ping"),
        help: """
            Ask beats of Celery 5.7 and later that have beat_enable_remote_control, by node name: 'celerybeat@*'. It \
            writes to the broker. (default: none)
            """
    )
    var beatPing: String?

    @Option(
        name: .customLong("beat.max-loop-interval"),
        help:
            "beat_max_loop_interval; RedBeat's where there is one. (default: 5m, or a fifth of RedBeat's lock timeout if that is longer; 5s for django)"
    )
    var beatMaxLoopInterval: String?

    @Option(
        name: .customLong("django.max-loop-interval"),
        help: "beat_max_loop_interval of django-celery-beat, where RedBeat has another. (default: 5s)"
    )
    var djangoMaxLoopInterval: String?

    @Option(name: .customLong("beat.grace"), help: "How late a beat may be before it counts as dead. (default: 2s)")
    var beatGrace: String?

    @Option(
        name: .customLong("beat.max-entry-series"),
        help: "Schedule entries that get series of their own; 0 for none. (default: 1000)"
    )
    var beatMaxEntrySeries: String?

    @Option(
        name: .customLong("database.url"),
        help: """
            The PostgreSQL with the task tables: postgresql://user:password@host/database, or as Django, SQLAlchemy and \
            JDBC write it. Also DATABASE_URL, \
            CELERY_RESULT_BACKEND if it is db+postgresql://.
            """
    )
    var databaseURL: String?

    @Option(
        name: .customLong("database.url-file"),
        help: "A file with the database's URL, which keeps the password out of sight."
    )
    var databaseURLFile: String?

    @Option(
        name: .customLong("tasks.windows"),
        help: "Windows of success ratios, comma-separated; repeatable. (default: 5m,1h)"
    )
    var tasksWindows: [String] = []

    @Option(
        name: .customLong("tasks.duration-buckets"),
        help: "Upper bounds of the duration histograms, in seconds. (default: from 0.005 to 3600)"
    )
    var tasksDurationBuckets: [String] = []

    @Option(
        name: .customLong("tasks.include"),
        help: "Tasks to tell of, by name or pattern such as shop.*; repeatable. (default: all)"
    )
    var tasksInclude: [String] = []

    @Option(name: .customLong("tasks.exclude"), help: "Tasks not to tell of; repeatable. (default: none)")
    var tasksExclude: [String] = []

    @Option(name: .customLong("tasks.max-names"), help: "Task names beyond this count as other. (default: 500)")
    var tasksMaxNames: String?

    @Option(
        name: .customLong("tasks.max-exceptions"),
        help: "Exception classes beyond this count as other. (default: 100)"
    )
    var tasksMaxExceptions: String?

    @Option(name: .customLong("tasks.max-workers"), help: "Workers of worker_status that are told of. (default: 1000)")
    var tasksMaxWorkers: String?

    @Option(name: .customLong("queues"), help: "Queues that are always reported, comma-separated; repeatable.")
    var queues: [String] = []

    @Flag(
        name: .customLong("queues.discover"),
        inversion: .prefixedNo,
        help: "Find other queues in kombu's bindings and in the schedule. (default: yes)"
    )
    var queuesDiscover: Bool?

    @Option(name: .customLong("queues.priority-steps"), help: "priority_steps. (default: 0,3,6,9)")
    var queuesPrioritySteps: String?

    @Option(name: .customLong("queues.separator"), help: "sep of broker_transport_options. (default: kombu's)")
    var queuesSeparator: String?

    @Option(name: .customLong("collect.interval"), help: "Time between two collections. (default: 10s)")
    var collectInterval: String?

    @Option(name: .customLong("collect.timeout"), help: "Time a collection from one source may take. (default: 5s)")
    var collectTimeout: String?

    @Option(
        name: .customLong("web.listen-address"),
        help: "Where to listen: host:port, or :port for all addresses; repeatable. (default: :9808)"
    )
    var webListenAddress: [String] = []

    @Option(
        name: .customLong("web.config.file"),
        help: "A YAML file with TLS and passwords, as Prometheus's exporters take it. (default: none)"
    )
    var webConfigFile: String?

    @Flag(
        name: .customLong("web.systemd-socket"),
        inversion: .prefixedNo,
        help: "Listen on sockets that systemd passes, and on no address. (default: no)"
    )
    var webSystemdSocket: Bool?

    @Flag(
        name: .customLong("web.enable-lifecycle"),
        inversion: .prefixedNo,
        help: "Whether POST /-/reload reloads the configuration, for everyone who reaches the port. (default: no)"
    )
    var webEnableLifecycle: Bool?

    @Option(name: .customLong("web.telemetry-path"), help: "The path of the metrics. (default: /metrics)")
    var webTelemetryPath: String?

    @Option(
        name: .customLong("config.file"),
        help: "A YAML file with settings, and with the schedule that a beat without a trace is expected to keep."
    )
    var configFile: String?

    @Flag(name: .customLong("config.check"), help: "Say whether the configuration is right, and end.")
    var configCheck = false

    @Option(name: .customLong("log.level"), help: "debug, info, warn or error. (default: info)")
    var logLevel: String?

    @Option(name: .customLong("log.format"), help: "logfmt or json. (default: logfmt)")
    var logFormat: String?
}
