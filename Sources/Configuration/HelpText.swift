/// What `--help` shows.
package enum HelpText {
    private static let program = "celery-beat-exporter"
    /// Lines are no longer than this, in characters.
    private static let width = 80
    /// Where the second column begins.
    private static let column = 26

    package static func text(of command: Command) -> String {
        let words = command == .export ? "<options> <subcommand>" : "\(command.rawValue) <options>"
        var parts = [
            wrapped("OVERVIEW: \(abstract(of: command))"),
            discussion(of: command).map { wrapped($0) }.joined(separator: "\n"),
            "USAGE: \(program) \(words)",
            "OPTIONS:\n" + options.map { entry($0.flag, $0.help) }.joined(separator: "\n"),
        ]
        if command == .export {
            let commands = Command.allCases.filter { $0 != .export }.map { entry($0.rawValue, abstract(of: $0)) }
            parts.append("SUBCOMMANDS:\n" + commands.joined(separator: "\n"))
            parts.append("  See '\(program) help <subcommand>' for detailed help.")
        }
        return parts.joined(separator: "\n\n")
    }

    private static func abstract(of command: Command) -> String {
        switch command {
        case .export: "Tells Prometheus whether Celery beat is alive, how long queues are and how tasks fare."
        case .check: "Look at everything that is configured, and say what is there, what is missing and what fixes it."
        case .healthcheck: "Ask the exporter that runs here with the same settings whether it is healthy."
        }
    }

    /// Its paragraphs.
    private static func discussion(of command: Command) -> [String] {
        switch command {
        case .export:
            [
                """
                Every flag has an environment variable: CELERY_BEAT_EXPORTER_ and the flag in capitals, with underscores \
                for dots and dashes (CELERY_BEAT_EXPORTER_BROKER_URL), and a key in the configuration file. A flag wins \
                over the environment, and that over the file.
                """,
                "Durations are written as Prometheus writes them: 500ms, 10s, 5m, 1h30m.",
            ]
        case .check:
            ["Ends with 0 if nothing is wrong, with 1 if something is wrong or missing, with 2 if a setting is wrong."]
        case .healthcheck:
            ["Ends with 0 if it is, with 1 if it is not or does not answer, with 2 if a setting is wrong."]
        }
    }

    private static var options: [(flag: String, help: String)] {
        Setting.all.map { setting -> (flag: String, help: String) in
            let flag =
                switch setting.form {
                case .value, .list: "--\(setting.name) <\(setting.name)>"
                case .truth: "--\(setting.name)/--no-\(setting.name)"
                }
            return (flag, setting.help + (setting.standard.map { " (default: \($0))" } ?? ""))
        } + [
            ("--\(CommandLineArguments.configurationCheck)", "Say whether the configuration is right, and end."),
            ("--\(CommandLineArguments.version)", "Show the version."),
            ("-h, --\(CommandLineArguments.help)", "Show help information."),
        ]
    }

    private static func entry(_ name: String, _ help: String) -> String {
        let name = "  \(name)"
        let lines = wrapped(help, indentedBy: column)
        // On a line of its own where it reaches into the second column.
        guard name.count < column else { return "\(name)\n\(lines)" }
        return name + lines.dropFirst(name.count)
    }

    /// The words of a text on lines of `width`, each of which begins with so many blanks.
    private static func wrapped(_ text: String, indentedBy indentation: Int = 0) -> String {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, indentation + line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
        }
        lines.append(line)
        return lines.map { String(repeating: " ", count: indentation) + $0 }.joined(separator: "\n")
    }
}
