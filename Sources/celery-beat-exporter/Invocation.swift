internal import ArgumentParser

/// What the command line asks for.
enum Invocation {
    /// `read` reads the configuration again.
    case run(Configuration, read: @Sendable () throws(ConfigurationError) -> Configuration)
    /// A text for standard output, and success: help or the version.
    case show(String)
    /// One line for standard error, and exit code 2.
    case refuse(String)

    init(arguments: [String], environment: [String: String]) {
        let flags: Flags
        do {
            flags = try Flags.parse(arguments)
        } catch {
            guard Flags.exitCode(for: error).isSuccess else {
                self = .refuse(Self.message(for: error, without: arguments))
                return
            }
            self = .show(Flags.fullMessage(for: error))
            return
        }
        do {
            let configuration = try Configuration(flags, environment: environment)
            self =
                flags.configCheck
                ? .show("The configuration is valid.")
                : .run(configuration) { () throws(ConfigurationError) in
                    try Configuration(flags, environment: environment)
                }
        } catch {
            self = .refuse(error.description)
        }
    }

    /// What the parser says, in one line. It quotes what it does not understand, and that may hold a password: of the
    /// arguments only the names of flags are repeated.
    private static func message(for error: any Error, without arguments: [String]) -> String {
        var message = Flags.message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
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
        return message
    }
}
