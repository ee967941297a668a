/// Finds the value of a setting: the flag first, then its environment variable, then names people have already set, then
/// the configuration file.
final class Settings {
    let environment: [String: String]
    private let file: ConfigurationFile?
    /// Settings that someone asked for: there are no others.
    private var asked: Set<String> = []

    init(environment: [String: String], file: ConfigurationFile? = nil) {
        self.environment = environment
        self.file = file
    }

    /// A value and where it came from, for messages.
    struct Found: Equatable {
        let value: String
        let origin: String
        /// Whether it comes from a variable that other programs read too.
        var isShared = false
    }

    func find(_ flagValue: String?, _ flag: String, aliases: [String] = []) -> Found? {
        asked.insert(flag)
        if let flagValue { return Found(value: flagValue, origin: "--\(flag)") }
        // An empty variable counts as absent: that is how it is unset in many deployments.
        func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let own = Self.variable(for: flag)
        if let value = variable(own) { return Found(value: value, origin: own) }
        for name in aliases {
            if let value = variable(name) { return Found(value: value, origin: name, isShared: true) }
        }
        return file?.values[flag].map { Found(value: $0.value, origin: $0.origin) }
    }

    /// A list from a repeatable flag, or from a variable with commas between; nil where neither is given.
    func list(_ flagValues: [String], _ flag: String) -> Found? {
        find(flagValues.isEmpty ? nil : flagValues.joined(separator: ","), flag)
    }

    /// Refuses keys of the file that are no settings; to be called when all settings were asked for.
    func refuseOtherKeys() throws(ConfigurationError) {
        guard let file else { return }
        for key in file.values.keys.sorted() where !asked.contains(key) {
            throw file.unknownKey(key, amongst: asked.union(ConfigurationFile.ownKeys))
        }
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
