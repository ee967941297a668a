internal import Configuration
internal import Glibc
internal import HTTP
internal import Logging
internal import Passwords
internal import Serving
internal import Watching

/// The running program: the exporter, its servers, and the signals that they obey.
struct Service {
    private let configuration: Configuration
    private let exporter: Exporter
    private let logger: Logger

    init(configuration: Configuration, exporter: Exporter, logger: Logger) {
        self.configuration = configuration
        self.exporter = exporter
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT. `blockSignals` must have been called.
    func run() throws {
        let routes = Routes(
            exporter: exporter,
            telemetryPath: configuration.telemetryPath,
            enablesLifecycle: configuration.enablesLifecycle
        )
        let servers = try startServers(routes)
        try exporter.start()

        let signal = waitForEnd()
        logger.info("stopping", metadata: ["signal": signal == SIGINT ? "SIGINT" : "SIGTERM"])
        routes.beginShutdown()
        exporter.stop()
        for server in servers { server.stop() }
    }

    private func startServers(_ routes: Routes) throws(HTTPServerError) -> [HTTPServer] {
        let sockets =
            configuration.usesSystemdSockets
            ? try ListeningSocket.fromSystemd()
            : try configuration.listenAddresses.map { (address) throws(HTTPServerError) in
                try ListeningSocket(bindingTo: address)
            }
        let security = configuration.webConfiguration.map { CurrentWebSecurity($0.security, logins: loginFile) }
        if let security, let file = configuration.webConfiguration {
            WebConfigurationWatch(path: file.path, security: security, logger: logger).start(from: file)
        }
        let limits = limits(of: sockets.count)
        return try sockets.map { (socket) throws(HTTPServerError) in
            let server = try HTTPServer(on: socket, limits: limits, security: security) { routes.answer(to: $0) }
            logger.info(
                "serving",
                metadata: [
                    "address": "\(socket.name)", "path": "\(configuration.telemetryPath)",
                    "tls": "\(configuration.webConfiguration?.security.tls != nil)", "version": "\(Version.current)",
                ]
            )
            return server
        }
    }

    /// In the first of the directories that systemd has made for this service, if any. Source: RuntimeDirectory= in the manual of
    /// systemd.exec.
    private var loginFile: LoginFile? {
        guard let directories = getenv("RUNTIME_DIRECTORY"),
            let first = String(cString: directories).split(separator: ":").first, first.hasPrefix("/")
        else { return nil }
        return LoginFile(in: String(first)) { [logger] problem in
            logger.warning("logins are not kept across a restart", metadata: ["error": "\(problem)"])
        }
    }

    /// Clients leave to the collectors the descriptors that they need: where there are few, fewer connections are allowed.
    private func limits(of servers: Int) -> HTTPLimits {
        let files = Self.fileLimit
        let needed =
            Self.ownDescriptors + Self.descriptorsOfServer * servers
            + Self.descriptorsOfTarget * (configuration.targets.count + 1)
        let limits = HTTPLimits().shared(amongst: servers, descriptors: files - min(needed, files / 2))
        let wanted = HTTPLimits().shared(amongst: servers, descriptors: .max)
        if limits.connections < wanted.connections {
            let enough = needed + (wanted.connections + wanted.endingConnections) * servers
            logger.warning(
                "few files may be open, so fewer clients are served at once; raise LimitNOFILE= or ulimit -n",
                metadata: [
                    "files": "\(files)", "enough": "\(enough)", "connections": "\(limits.connections * servers)",
                    "usual": "\(wanted.connections * servers)",
                ]
            )
        }
        return limits
    }

    /// Descriptors for standard streams, and files that are read.
    private static let ownDescriptors = 36
    /// What a server listens and waits with.
    private static let descriptorsOfServer = 4
    /// Connections of an application's collectors, to sentinels and a cluster's nodes too.
    private static let descriptorsOfTarget = 16

    private static var fileLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Blocks the signals that the program obeys, so that threads started later inherit that and only `sigwait` gets them.
    static func blockSignals() {
        var signals = signals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        // libpq writes to sockets whose peer may be gone.
        Glibc.signal(SIGPIPE, SIG_IGN)
    }

    /// Lets the program open as many files as it may: each connection to a source is one, and where there are hundreds of
    /// applications the usual soft limit of 1024 is soon reached. That limit is for programs that call `select`, which
    /// neither this one nor its libraries do.
    static func raiseFileLimit() {
        var limit = rlimit()
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(files, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(files, &limit)
    }

    /// Reloads whenever it is told to, and returns with the signal that says to end.
    private func waitForEnd() -> CInt {
        var awaited = Self.signals
        while true {
            let isResting = sigismember(&awaited, SIGHUP) == 0
            switch Self.nextSignal(of: awaited, within: isResting ? 1 : nil) {
            case SIGHUP:
                // It logs what is wrong; there is nobody else to tell.
                try? exporter.reload()
                // At most one a second. Those that come meanwhile wait, as one.
                sigdelset(&awaited, SIGHUP)
            case .some(let number): return number
            case nil: awaited = Self.signals
            }
        }
    }

    /// The next signal; nil after so many seconds without one.
    private static func nextSignal(of signals: sigset_t, within seconds: Int?) -> CInt? {
        var signals = signals
        var number: CInt = 0
        if let seconds {
            var limit = timespec(tv_sec: seconds, tv_nsec: 0)
            number = sigtimedwait(&signals, nil, &limit)
        } else {
            sigwait(&signals, &number)
        }
        return number > 0 ? number : nil
    }

    private static var signals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        return signals
    }
}
