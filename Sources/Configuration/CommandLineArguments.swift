/// What the program can be told to do. All of it takes the same flags.
package enum Command: String, CaseIterable, Sendable {
    /// Without a word.
    case export = ""
    case check
    case healthcheck
}

/// What the command line says.
package struct CommandLineArguments {
    /// A text to show in place of anything else.
    package enum Text {
        /// Of the command.
        case help
        case version
    }

    package private(set) var command = Command.export
    /// Values by the names of settings, those of lists with commas between.
    package private(set) var flags: [String: String] = [:]
    package private(set) var checksConfiguration = false
    package private(set) var text: Text?

    static let configurationCheck = "config.check"
    static let help = "help"
    static let version = "version"
    /// What an unknown flag's name is cut to.
    private static let shownCharacters = 100

    /// - Parameter arguments: without the program's name.
    package init(_ arguments: [String]) throws(ConfigurationError) {
        let settings = Dictionary(Setting.all.map { ($0.name, $0) }) { first, _ in first }
        var rest = arguments[...]
        while text != .version, let argument = rest.popFirst() {
            guard argument.hasPrefix("-") else {
                try add(word: argument)
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count == 2 ? String(parts[1]) : nil
            let isAction = ["-h", "--\(Self.help)", "--\(Self.version)", "--\(Self.configurationCheck)"].contains(
                parts[0]
            )
            guard value == nil || !isAction else { throw ConfigurationError("\(parts[0]): takes no value") }
            switch parts[0] {
            case "-h", "--\(Self.help)":
                // Whatever stands behind it.
                text = .help
                return
            case "--\(Self.version)": text = .version
            case "--\(Self.configurationCheck)": checksConfiguration = true
            case let flag: try add(flag, value, &rest, amongst: settings)
            }
        }
    }

    private mutating func add(word: String) throws(ConfigurationError) {
        if word == Self.help {
            text = .help
            return
        }
        guard let command = Command(rawValue: word), command != .export else { throw Self.unexpected(word) }
        guard self.command == .export || self.command == command else {
            throw ConfigurationError("give one command: \(self.command.rawValue) or \(command.rawValue)")
        }
        self.command = command
    }

    private mutating func add(
        _ flag: Substring,
        _ value: String?,
        _ rest: inout ArraySlice<String>,
        amongst settings: [String: SettingDescription]
    ) throws(ConfigurationError) {
        guard flag.hasPrefix("--") else { throw Self.unknown(flag.prefix(2)) }
        let name = String(flag.dropFirst(2))
        if let setting = settings[name] {
            var value = value
            if value == nil {
                // The next argument; another flag is no value.
                value =
                    setting.form == .truth
                    ? "true" : rest.first.flatMap { $0.hasPrefix("--") || $0 == "-h" ? nil : rest.popFirst() }
            }
            guard let value else { throw ConfigurationError("Missing value for '--\(name) <\(name)>'") }
            flags[name] = setting.form == .list ? [flags[name], value].compactMap { $0 }.joined(separator: ",") : value
        } else if name.hasPrefix("no-"), settings[String(name.dropFirst(3))]?.form == .truth {
            guard value == nil else { throw ConfigurationError("--\(name): takes no value") }
            flags[String(name.dropFirst(3))] = "false"
        } else {
            throw Self.unknown(flag)
        }
    }

    /// What an argument says may hold a password, so it is not repeated.
    private static func unexpected(_ argument: String) -> ConfigurationError {
        ConfigurationError("Unexpected argument '…'" + suggestion(for: argument.prefix(shownCharacters)))
    }

    private static func unknown(_ flag: Substring) -> ConfigurationError {
        let flag = flag.prefix(shownCharacters)
        return ConfigurationError("Unknown option '\(flag)'" + suggestion(for: flag))
    }

    /// The flag or the command that an argument resembles, if any does.
    private static func suggestion(for argument: Substring) -> String {
        let word = argument.drop { $0 == "-" }.lowercased()
        let commands = Set(Command.allCases.map(\.rawValue) + [help]).subtracting([Command.export.rawValue])
        let flags = Set(Setting.all.map(\.name) + [configurationCheck, version])
        let isFlag = argument.hasPrefix("-")
        guard let nearest = Spelling.nearest(to: word, amongst: isFlag ? commands.union(flags) : commands) else {
            return ""
        }
        return commands.contains(nearest) ? "; did you mean \(nearest)?" : "; did you mean '--\(nearest)'?"
    }
}
