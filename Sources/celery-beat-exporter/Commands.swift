internal import ArgumentParser

/// What the program can be told to do. All of it takes the same flags.
protocol Command: ParsableCommand {
    var flags: Flags { get }
}

/// The command line. Without a subcommand the program exports.
struct ExportCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "celery-beat-exporter",
        abstract: "Tells Prometheus whether Celery beat lives, how long queues are and how tasks fare.",
        discussion: """
            Every flag has an environment variable: CELERY_BEAT_EXPORTER_ and the flag in capitals, with underscores for \
            dots and dashes (CELERY_BEAT_EXPORTER_BROKER_URL), and a key in the configuration file. A flag wins over the \
            environment, and that over the file.
            Durations are written as Prometheus writes them: 500ms, 10s, 5m, 1h30m.
            """,
        version: Version.current,
        subcommands: [CheckCommand.self, HealthcheckCommand.self]
    )

    @OptionGroup var flags: Flags
}

/// Looks at everything that is configured, once.
struct CheckCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look at everything that is configured, and say what is there, what is missing and what mends it.",
        discussion:
            "Ends with 0 if nothing is wrong, with 1 if something is wrong or missing, with 2 if a setting is wrong."
    )

    @OptionGroup var flags: Flags
}

/// Asks the exporter that runs here.
struct HealthcheckCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck",
        abstract: "Ask the exporter that runs here with the same settings whether it is healthy.",
        discussion: "Ends with 0 if it is, with 1 if it is not or does not answer, with 2 if a setting is wrong."
    )

    @OptionGroup var flags: Flags
}
