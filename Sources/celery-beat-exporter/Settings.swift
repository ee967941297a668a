/// Finds the value of a setting: the flag first, then its environment variable, then names people have already set.
struct Settings {
    let environment: [String: String]

    /// A value and where it came from, for messages.
    struct Found: Equatable {
        let value: String
        let origin: String
    }

    func find(_ flagValue: String?, _ flag: String, aliases: [String] = []) -> Found? {
        if let flagValue { return Found(value: flagValue, origin: "--\(flag)") }
        for name in [Self.variable(for: flag)] + aliases {
            // An empty variable counts as absent: that is how it is unset in many deployments.
            if let value = environment[name], !value.isEmpty { return Found(value: value, origin: name) }
        }
        return nil
    }

    /// Whether a value comes from a variable that other programs read too.
    func isShared(_ setting: Found) -> Bool {
        !setting.origin.hasPrefix("--") && !setting.origin.hasPrefix("CELERY_BEAT_EXPORTER_")
    }

    /// A list from a repeatable flag, or from a variable with commas between; nil where neither is given.
    func list(_ flagValues: [String], _ flag: String) -> Found? {
        find(flagValues.isEmpty ? nil : flagValues.joined(separator: ","), flag)
    }

    static func variable(for flag: String) -> String {
        "CELERY_BEAT_EXPORTER_" + flag.uppercased().map { $0 == "." || $0 == "-" ? "_" : String($0) }.joined()
    }
}

/// Why the program cannot start: one line that says what is wrong and what would be right, without a secret.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    init(_ setting: Settings.Found, _ problem: String) {
        description = "\(setting.origin): \(problem)"
    }
}
