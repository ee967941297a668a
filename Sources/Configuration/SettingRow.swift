/// A row of the table of settings: how a setting is named, read and told of.
struct SettingRow<Value: Sendable>: Sendable {
    typealias Parse = @Sendable (Settings.Found) throws(ConfigurationError) -> Value

    let description: SettingDescription
    /// The setting that names a file with this one's value, which keeps a secret out of sight; nil where there is none.
    private(set) var inFile: SettingDescription?
    /// The value where nobody gives one.
    let absent: Value
    let parse: Parse

    /// - Parameter standard: what holds where nobody gives it, as `--help` tells it; nil where there is nothing to tell.
    init(
        _ name: String,
        form: SettingDescription.Form = .value,
        scope: SettingDescription.Scope = .application,
        aliases: [SharedVariable] = [],
        otherwise standard: String?,
        absent: Value,
        _ help: String,
        parse: @escaping Parse
    ) {
        description = SettingDescription(
            name: name,
            form: form,
            scope: scope,
            help: help,
            standard: standard,
            aliases: aliases
        )
        self.absent = absent
        self.parse = parse
    }

    /// The same with a flag for a file, whose name has `-file` at its end.
    func orFile(_ help: String) -> SettingRow {
        var row = self
        row.inFile = SettingDescription(
            name: description.name + "-file",
            form: .value,
            scope: description.scope,
            help: help,
            standard: nil,
            aliases: description.aliases.map { SharedVariable($0.name + "_FILE", whereBackendIs: $0.backend) }
        )
        return row
    }

    /// The flags and keys that it comes to.
    var descriptions: [SettingDescription] { [description] + (inFile.map { [$0] } ?? []) }
}

/// What is known of a setting whatever its value is.
struct SettingDescription: Equatable, Sendable {
    enum Form: Sendable {
        case value
        /// Given as often as one likes, or with commas between.
        case list
        /// The flag needs no value, and has an opposite: `--no-` and the name.
        case truth
    }

    /// Who has the setting.
    enum Scope: Sendable {
        /// The program, before it reads the configuration file: it has no key there.
        case start
        case program
        /// Each application; it inherits what is said for all.
        case application
        /// Each application, which must say it for itself.
        case address
    }

    /// The flag without its dashes, and the key of the configuration file.
    let name: String
    let form: Form
    let scope: Scope
    /// One paragraph.
    let help: String
    let standard: String?
    let aliases: [SharedVariable]

    /// The environment variable that is the exporter's own.
    var variable: String {
        "CELERY_BEAT_EXPORTER_" + name.uppercased().map { $0 == "." || $0 == "-" ? "_" : String($0) }.joined()
    }
}

/// A variable that people set for other programs too.
struct SharedVariable: Equatable, Sendable {
    let name: String
    /// The variable that names a result backend, which must be a PostgreSQL for this one to count: others say nothing of a
    /// database. Nil where it always counts.
    let backend: String?

    init(_ name: String, whereBackendIs backend: String? = nil) {
        self.name = name
        self.backend = backend
    }

    func counts(in environment: [String: String]) -> Bool {
        guard let backend else { return true }
        let value = environment[backend]?.trimmed ?? ""
        return value.hasPrefix("db+") && Target.namesPostgres(value)
    }
}

// MARK: Kinds of rows

extension SettingRow where Value == Settings.Found? {
    /// A text, with its origin for messages.
    static func text(
        _ name: String,
        scope: SettingDescription.Scope = .application,
        form: SettingDescription.Form = .value,
        aliases: [SharedVariable] = [],
        otherwise standard: String? = nil,
        _ help: String
    ) -> SettingRow {
        SettingRow(name, form: form, scope: scope, aliases: aliases, otherwise: standard, absent: nil, help) { $0 }
    }
}

extension SettingRow where Value == Double? {
    /// A duration, in seconds.
    static func seconds(
        _ name: String,
        in range: ClosedRange<Double>,
        otherwise standard: String,
        _ help: String
    ) -> SettingRow {
        SettingRow(name, otherwise: standard, absent: nil, help) { (found) throws(ConfigurationError) in
            try found.seconds(in: range)
        }
    }
}

extension SettingRow where Value == Double {
    /// A duration, in seconds.
    static func seconds(
        _ name: String,
        scope: SettingDescription.Scope = .application,
        in range: ClosedRange<Double>,
        otherwise standard: Double,
        _ help: String
    ) -> SettingRow {
        let text = PrometheusDuration.text(seconds: standard)
        return SettingRow(name, scope: scope, otherwise: text, absent: standard, help) {
            (found) throws(ConfigurationError) in try found.seconds(in: range)
        }
    }
}

extension SettingRow where Value == Int {
    static func number(
        _ name: String,
        in range: ClosedRange<Int>,
        otherwise standard: Int,
        _ help: String
    ) -> SettingRow {
        SettingRow(name, otherwise: String(standard), absent: standard, help) { (found) throws(ConfigurationError) in
            guard let number = Int(found.value), range.contains(number) else {
                throw ConfigurationError(found, "must be a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
    }
}

extension SettingRow where Value == Bool {
    static func truth(
        _ name: String,
        scope: SettingDescription.Scope = .application,
        otherwise standard: Bool,
        _ help: String
    ) -> SettingRow {
        SettingRow(name, form: .truth, scope: scope, otherwise: standard ? "yes" : "no", absent: standard, help) {
            (found) throws(ConfigurationError) in try found.truth()
        }
    }
}

extension SettingRow where Value == Bool? {
    static func truth(_ name: String, otherwise standard: String, _ help: String) -> SettingRow {
        SettingRow(name, form: .truth, otherwise: standard, absent: nil, help) {
            (found) throws(ConfigurationError) in try found.truth()
        }
    }
}

extension SettingRow {
    /// One of a few words.
    /// - Parameter standard: one of them.
    static func choice(
        _ name: String,
        scope: SettingDescription.Scope,
        of choices: [String: Value],
        otherwise standard: String,
        absent: Value,
        _ help: String
    ) -> SettingRow {
        SettingRow(name, scope: scope, otherwise: standard, absent: absent, help) {
            (found) throws(ConfigurationError) in
            guard let value = choices[found.value] else {
                throw ConfigurationError(found, "must be one of \(choices.keys.sorted().joined(separator: ", "))")
            }
            return value
        }
    }
}

extension Settings.Found {
    /// A duration, in seconds.
    fileprivate func seconds(in range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        guard let duration = PrometheusDuration.parse(value) else {
            throw ConfigurationError(self, "not a duration; write 500ms, 10s, 5m or 1h30m")
        }
        let seconds = duration / .seconds(1)
        guard range.contains(seconds) else {
            throw ConfigurationError(self, "must be from \(range.lowerBound) to \(range.upperBound) seconds")
        }
        return seconds
    }

    /// As YAML and people write it.
    fileprivate func truth() throws(ConfigurationError) -> Bool {
        switch value.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw ConfigurationError(self, "must be true or false")
        }
    }
}
