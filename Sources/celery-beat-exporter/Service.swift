internal import Glibc
internal import HTTP
internal import Logging

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
    func run() throws(HTTPServerError) {
        let routes = Routes(exporter: exporter, telemetryPath: configuration.telemetryPath)
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
        exporter.start()

        var signal = Self.waitForSignal()
        while signal == SIGHUP {
            // It logs what is wrong; there is nobody else to tell.
            try? exporter.reload()
            signal = Self.waitForSignal()
        }
        logger.info("stopping", metadata: ["signal": signal == SIGINT ? "SIGINT" : "SIGTERM"])
        routes.beginShutdown()
        exporter.stop()
        for server in servers { server.stop() }
    }

    /// Blocks the signals that the program obeys, so that threads started later inherit that and only `sigwait` gets them.
    static func blockSignals() {
        var signals = signals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        // hiredis and libpq write to sockets whose peer may be gone.
        Glibc.signal(SIGPIPE, SIG_IGN)
    }

    private static func waitForSignal() -> CInt {
        var signals = signals
        var number: CInt = 0
        sigwait(&signals, &number)
        return number
    }

    private static var signals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        return signals
    }
}
