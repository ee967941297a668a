internal import Check
internal import Configuration
internal import Glibc
internal import HTTP
internal import Logging
internal import Watching

/// Says in one line why the program ends.
func complain(_ line: String) {
    let bytes = Array("celery-beat-exporter: \(line)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

let given = GivenSettings()

switch Invocation(arguments: Array(given.arguments.dropFirst()), environment: given.environment) {
case .show(let text):
    print(text)
case .refuse(let line):
    complain(line)
    exit(2)
case .check(let configuration):
    // Not `exit`: it would clean up libraries that a look without end still uses.
    _exit(Check(configuration).run())
case .healthcheck(let address):
    do {
        try HealthProbe(address, timeout: .seconds(3)).run()
    } catch {
        complain(error.description)
        exit(1)
    }
case .export(let configuration, let read):
    TrapReport.install(format: configuration.logFormat)
    Service.blockSignals()
    let writer = LineLogHandler.standardError(configuration.logFormat)
    let logger = Logger(label: "celery-beat-exporter") { _ in
        LineLogHandler(logLevel: configuration.logLevel, format: configuration.logFormat, writer: writer)
    }
    Service.raiseFileLimit()
    do {
        let exporter = Exporter(configuration, logger: logger, read: read)
        try Service(configuration: configuration, exporter: exporter, logger: logger).run()
        writer.flush(within: .seconds(1))
        // Not `exit`: it would clean up libraries that a hanging collector still uses.
        _exit(0)
    } catch {
        logger.error("\(error)")
        writer.flush(within: .seconds(1))
        exit(1)
    }
}
