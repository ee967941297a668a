internal import Collection
internal import Glibc
internal import HTTP
internal import Logging

/// The running program: collectors on their threads, one snapshot, servers.
struct Exporter {
    private let configuration: Configuration
    private let logger: Logger

    init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT, which must be blocked in all threads.
    func run() throws(HTTPServerError) {
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let definitions = CollectorList.collectors(for: configuration)
        let snapshot = Snapshot(
            collectors: definitions,
            validity: configuration.collectInterval * 2 + configuration.collectTimeout * 4
        )
        let routes = Routes(snapshot: snapshot, telemetryPath: configuration.telemetryPath)
        var servers: [HTTPServer] = []
        for address in configuration.listenAddresses {
            let server = try HTTPServer(listening: address) { routes.response(to: $0) }
            servers.append(server)
            logger.info(
                "serving",
                metadata: [
                    "address": "\(address.host.isEmpty ? "*" : address.host):\(server.port)",
                    "path": "\(configuration.telemetryPath)", "version": "\(Version.current)",
                ]
            )
        }
        let loops = definitions.map {
            CollectorLoop($0, into: snapshot, every: configuration.collectInterval, logger: logger)
        }
        for loop in loops { loop.start() }

        let signal = Self.waitForSignal()
        logger.info("stopping", metadata: ["signal": "\(signal)"])
        routes.beginShutdown()
        for loop in loops { loop.stop() }
        for server in servers { server.stop() }
    }

    /// Blocks the signals that end the program, so that threads started later inherit that and only `sigwait` gets them.
    static func blockSignals() {
        var signals = endingSignals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        // hiredis and libpq write to sockets whose peer may be gone.
        Glibc.signal(SIGPIPE, SIG_IGN)
    }

    private static func waitForSignal() -> String {
        var signals = endingSignals
        var number: CInt = 0
        sigwait(&signals, &number)
        return number == SIGINT ? "SIGINT" : "SIGTERM"
    }

    private static var endingSignals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        return signals
    }
}
