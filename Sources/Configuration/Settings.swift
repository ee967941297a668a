internal import System

/// Finds the value of a setting: the flag first, then its environment variable, then names people have already set, then
/// the configuration file.
struct Settings {
    /// The configuration file, or its part about one application; nil where there is none.
    let file: ConfigurationFile?
    /// Of an application in the file: the whole file, and what else holds for all.
    private let whole: ConfigurationFile?
    private let flags: [String: String]
    private let environment: [String: String]

    /// - Parameter flags: values by the names of flags, those of lists with commas between.
    init(flags: [String: String], environment: [String: String], file: ConfigurationFile? = nil) {
        self.file = file
        self.flags = flags
        self.environment = environment
        whole = nil
    }

    /// The settings of an application in the file: its own, then, but for addresses, what holds for all.
    init(of section: ConfigurationFile, in file: ConfigurationFile, within settings: Settings) {
        self.file = section
        whole = file
        flags = settings.flags
        environment = settings.environment
    }

    /// A value and where it came from, for messages.
    struct Found: Equatable {
        let value: String
        let origin: String
        /// Whether it comes from a variable that other programs read too.
        var isShared = false
    }

    /// The value of a setting, checked.
    func read<Value>(_ row: SettingRow<Value>) throws(ConfigurationError) -> Value {
        guard let found = try find(row) else { return row.absent }
        return try row.parse(found)
    }

    /// Where a setting was given, if it was.
    private func find<Value>(_ row: SettingRow<Value>) throws(ConfigurationError) -> Found? {
        let direct = places(of: row.description)
        guard let inFile = row.inFile else { return direct.lazy.compactMap { $0() }.first }
        // Whichever of the two stands at the better place counts.
        for (direct, path) in zip(direct, places(of: inFile)) {
            let (found, path) = (direct(), path())
            if let found, let path {
                throw ConfigurationError(path, "\(found.origin) is given too; give one of them")
            }
            if let found { return found }
            if let path { return try contents(of: path) }
        }
        return nil
    }

    /// The one line of a file that a setting names.
    private func contents(of path: Found) throws(ConfigurationError) -> Found {
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

    /// Where a setting may stand, first what wins.
    ///
    /// Blanks and line breaks at the ends of a value belong to whatever brought it (a Secret, a file, a shell), not to it.
    private func places(of setting: SettingDescription) -> [() -> Found?] {
        func key(of file: ConfigurationFile?) -> () -> Found? {
            { file?.values[setting.name].map { Found(value: $0.value.trimmed, origin: $0.origin) } }
        }
        // An empty variable counts as absent: that is how it is unset in many deployments.
        func variable(_ name: String, isShared: Bool) -> () -> Found? {
            {
                guard let value = environment[name]?.trimmed, !value.isEmpty else { return nil }
                return Found(value: value, origin: name, isShared: isShared)
            }
        }
        func alias(_ alias: SharedVariable) -> () -> Found? {
            { alias.counts(in: environment) ? variable(alias.name, isShared: true)() : nil }
        }
        let flag = { flags[setting.name].map { Found(value: $0.trimmed, origin: "--\(setting.name)") } }
        let forAll = [flag, variable(setting.variable, isShared: false)] + setting.aliases.map { alias($0) }
        guard let whole else { return forAll + [key(of: file)] }
        return [key(of: file)] + (setting.scope == .address ? [] : forAll + [key(of: whole)])
    }

    /// Refuses keys of the file that are no settings.
    func refuseOtherKeys() throws(ConfigurationError) {
        guard let file else { return }
        let known = Setting.all.filter { $0.scope != .start }
        let ofProgram = Set(known.filter { $0.scope == .program }.map(\.name))
        let ofApplication = Set(known.map(\.name)).subtracting(ofProgram)
        let allowed = whole == nil ? ofApplication.union(ofProgram) : ofApplication
        for (key, value) in file.values.sorted(by: { $0.key < $1.key }) where !allowed.contains(key) {
            guard !ofProgram.contains(key) else {
                throw file.error(line: value.line, "\(key) is for the whole program; write it outside of targets")
            }
            throw file.unknownKey(key, amongst: allowed.union(file.ownKeys))
        }
    }
}

extension SmallFile {
    /// - Parameter origin: the setting that named the file, for the message when it cannot be read.
    static func contents(of path: String, for origin: String) throws(ConfigurationError) -> [UInt8] {
        do {
            return try contents(of: path)
        } catch {
            throw ConfigurationError("\(origin): \(error)")
        }
    }
}

/// Why the program cannot start: one line that says what is wrong and what would be right, without a secret.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
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

extension StringProtocol {
    /// The same without blanks and line breaks at its ends, and without the byte order mark that some editors write first.
    var trimmed: String {
        func isBlank(_ character: Character) -> Bool { character.isWhitespace || character == "\u{feff}" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
