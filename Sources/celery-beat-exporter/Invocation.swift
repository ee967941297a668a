internal import Configuration
internal import HTTP

/// What the command line asks for.
enum Invocation {
    /// `read` reads the configuration again.
    case export(Configuration, read: @Sendable () throws(ConfigurationError) -> Configuration)
    case check(Configuration)
    /// Of the exporter that listens there.
    case healthcheck(ListenAddress)
    /// A text for standard output, and success: help or the version.
    case show(String)
    /// One line for standard error, and exit code 2.
    case refuse(String)

    init(arguments: [String], environment: [String: String]) {
        do throws(ConfigurationError) {
            self = try Self.invocation(by: CommandLineArguments(arguments), environment)
        } catch {
            self = .refuse(error.description)
        }
    }

    private static func invocation(
        by arguments: CommandLineArguments,
        _ environment: [String: String]
    ) throws(ConfigurationError) -> Invocation {
        switch arguments.text {
        case .help: return .show(HelpText.text(of: arguments.command))
        case .version: return .show(Version.current)
        case nil: break
        }
        let flags = arguments.flags
        if arguments.command == .healthcheck, !arguments.checksConfiguration {
            return .healthcheck(try Configuration.firstListenAddress(flags: flags, environment: environment))
        }
        let configuration = try Configuration(flags: flags, environment: environment)
        if arguments.checksConfiguration { return .show("The configuration is valid.") }
        if arguments.command == .check { return .check(configuration) }
        return .export(configuration) { () throws(ConfigurationError) in
            try Configuration(flags: flags, environment: environment)
        }
    }
}
