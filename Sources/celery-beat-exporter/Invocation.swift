internal import ArgumentParser
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
        do {
            var parsed = try ExportCommand.parseAsRoot(arguments)
            if let command = parsed as? any Command {
                self = try Self.invocation(of: command, environment)
            } else {
                // The parser's own command, which throws the help it is asked for.
                try parsed.run()
                self = .show(ExportCommand.helpMessage())
            }
        } catch let error as ConfigurationError {
            self = .refuse(error.description)
        } catch {
            self =
                ExportCommand.exitCode(for: error).isSuccess
                ? .show(ExportCommand.fullMessage(for: error))
                : .refuse(Self.message(for: error, without: arguments).withoutControlCharacters)
        }
    }

    private static func invocation(
        of command: any Command,
        _ environment: [String: String]
    ) throws(ConfigurationError) -> Invocation {
        let flags = command.flags
        if command is HealthcheckCommand, !flags.configCheck {
            return .healthcheck(try Configuration.firstListenAddress(flags, environment: environment))
        }
        let configuration = try Configuration(flags, environment: environment)
        if flags.configCheck { return .show("The configuration is valid.") }
        if command is CheckCommand { return .check(configuration) }
        return .export(configuration) { () throws(ConfigurationError) in
            try Configuration(flags, environment: environment)
        }
    }

    /// What the parser says, in one line. It quotes what it does not understand, and that may hold a password: of the
    /// arguments only the names of flags are repeated.
    private static func message(for error: any Error, without arguments: [String]) -> String {
        var message = ExportCommand.message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
        let suggestion = suggestion(for: message, of: arguments)
        for argument in arguments {
            let value: Substring
            if argument.hasPrefix("--") {
                value = argument.drop { $0 != "=" }
            } else {
                value = argument.hasPrefix("-") ? argument.dropFirst(2) : argument[...]
            }
            // The parser's words in one line have no line breaks either.
            let quoted = value.split(whereSeparator: \.isNewline).joined(separator: " ")
            if !quoted.isEmpty {
                message = message.split(separator: quoted, omittingEmptySubsequences: false).joined(separator: "…")
            }
        }
        return message + suggestion
    }

    /// The command that an argument the parser did not understand resembles, if any does.
    private static func suggestion(for message: String, of arguments: [String]) -> String {
        let commands = Set(
            ExportCommand.configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
        )
        return arguments.lazy
            .filter { message.contains("'\($0)'") }
            .map { ConfigurationFile.suggestion(for: $0.drop { $0 == "-" }.lowercased(), amongst: commands) }
            .first { !$0.isEmpty } ?? ""
    }
}
