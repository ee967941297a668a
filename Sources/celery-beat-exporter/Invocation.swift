internal import ArgumentParser

/// What the command line asks for.
enum Invocation {
    case run(Configuration)
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
                self = .refuse(Self.withoutSecrets(Flags.message(for: error)))
                return
            }
            self = .show(Flags.fullMessage(for: error))
            return
        }
        do {
            self = .run(try Configuration(flags, environment: environment))
        } catch {
            self = .refuse(error.description)
        }
    }

    /// The parser quotes arguments it does not understand, and a URL among them may hold a password.
    private static func withoutSecrets(_ message: String) -> String {
        let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        guard let start = line.firstRange(of: "://") else { return line }
        let rest = line[start.upperBound...]
        guard let at = rest.lastIndex(of: "@") else { return line }
        return line[..<start.upperBound] + "***" + line[at...]
    }
}
