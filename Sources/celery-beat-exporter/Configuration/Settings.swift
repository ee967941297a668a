/// Finds the value of a setting: the flag first, then its environment variable, then names people have already set, then
/// the configuration file.
final class Settings {
    let environment: [String: String]
    let file: ConfigurationFile?
    /// For an application of the file: what it does not say itself.
    private let parent: Settings?
    /// Settings that someone asked for: there are no others.
    private var asked: Set<String> = []

    /// What each application must say for itself.
    private static let notInherited: Set<String> = [
        "broker.url", "broker.url-file", "redbeat.url", "redbeat.url-file", "database.url", "database.url-file",
    ]

    init(environment: [String: String], file: ConfigurationFile? = nil) {
        self.environment = environment
        self.file = file
        parent = nil
    }

    /// The settings of an application in the file: its own, then, but for addresses, what holds for all.
    init(of section: ConfigurationFile, within parent: Settings) {
        environment = parent.environment
        file = section
        self.parent = parent
    }

    /// A value and where it came from, for messages.
    struct Found: Equatable {
        let value: String
        let origin: String
        /// Whether it comes from a variable that other programs read too.
        var isShared = false
    }

    func find(_ flagValue: String?, _ flag: String, aliases: [String] = []) -> Found? {
        places(flagValue, flag, aliases: aliases).lazy.compactMap { $0() }.first
    }

    /// A value that may also stand in a file of its own, which is named by the flag with `-file` at its end or by a variable
    /// with `_FILE`.
    func secret(
        _ flagValue: String?,
        _ fileFlagValue: String?,
        _ flag: String,
        aliases: [String] = []
    ) throws(ConfigurationError) -> Found? {
        let direct = places(flagValue, flag, aliases: aliases)
        let inFiles = places(fileFlagValue, flag + "-file", aliases: aliases.map { $0 + "_FILE" })
        for (direct, inFile) in zip(direct, inFiles) {
            let (found, path) = (direct(), inFile())
            if let found, let path {
                throw ConfigurationError(path, "\(found.origin) is given too; give one of them")
            }
            if let found { return found }
            guard let path else { continue }
            guard !path.value.contains("://"), !path.value.contains("=") else {
                throw ConfigurationError(path, "must be the path of a file that holds the URL, not the URL")
            }
            let contents = try SmallFile.contents(of: path.value, for: path.origin)
            let secret = String(decoding: contents, as: UTF8.self).trimmed
            guard !secret.isEmpty, !secret.contains(where: \.isNewline) else {
                throw ConfigurationError(path, "\(path.value) must hold one line")
            }
            return Found(value: secret, origin: path.origin, isShared: path.isShared)
        }
        return nil
    }

    /// Where a setting may stand, first what wins. As many for each flag with so many aliases.
    ///
    /// Blanks and line breaks at the ends of a value belong to whatever brought it (a Secret, a file, a shell), not to it.
    private func places(_ flagValue: String?, _ flag: String, aliases: [String]) -> [() -> Found?] {
        asked.insert(flag)
        let ofFile = { [file] in file?.values[flag].map { Found(value: $0.value.trimmed, origin: $0.origin) } }
        if let parent {
            let inherits = !Self.notInherited.contains(flag)
            return [ofFile] + (inherits ? parent.places(flagValue, flag, aliases: aliases) : [])
        }
        // An empty variable counts as absent: that is how it is unset in many deployments.
        func variable(_ name: String, isShared: Bool) -> () -> Found? {
            { [environment] in
                guard let value = environment[name]?.trimmed, !value.isEmpty else { return nil }
                return Found(value: value, origin: name, isShared: isShared)
            }
        }
        return [{ flagValue.map { Found(value: $0.trimmed, origin: "--\(flag)") } }]
            + [variable(Self.variable(for: flag), isShared: false)]
            + aliases.map { variable($0, isShared: true) } + [ofFile]
    }

    /// A list from a repeatable flag, or from a variable with commas between; nil where neither is given.
    func list(_ flagValues: [String], _ flag: String) -> Found? {
        find(flagValues.isEmpty ? nil : flagValues.joined(separator: ","), flag)
    }

    /// Refuses keys of the file that are no settings; to be called when all settings were asked for.
    func refuseOtherKeys() throws(ConfigurationError) {
        guard let file else { return }
        for (key, value) in file.values.sorted(by: { $0.key < $1.key }) where !asked.contains(key) {
            guard parent?.asked.contains(key) != true else {
                throw file.error(line: value.line, "\(key) is for the whole program; write it outside of targets")
            }
            throw file.unknownKey(key, amongst: asked.union(file.ownKeys))
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
        self.description = description.withoutControlCharacters
    }

    init(_ setting: Settings.Found, _ problem: String) {
        self.init("\(setting.origin): \(problem)")
    }
}

extension String {
    /// The same in one line that does no harm to a terminal: what was refused is quoted, and may hold anything.
    var withoutControlCharacters: String {
        guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return self }
        return String(
            String.UnicodeScalarView(
                unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{fffd}" : $0 }
            )
        )
    }
}
