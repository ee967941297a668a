internal import Celery
internal import System
internal import TimeZones
internal import YAML

/// The YAML file that `--config.file` names, or the part of it about one application. Its keys are the names of flags, whole
/// (`beat.grace: 5s`) or in parts (`beat:` and below it `grace: 5s`), and `schedule`, `tables` and, in the file, `targets`,
/// which have no flag.
struct ConfigurationFile {
    struct Value: Equatable {
        let value: String
        /// File, line and key, for messages.
        let origin: String
        let line: Int
    }

    /// An application with a name.
    struct Section {
        let name: String
        let line: Int
        let file: ConfigurationFile
    }

    private static let maximumTargets = 500

    /// Keys without a flag.
    let ownKeys: Set<String>
    let path: String
    private(set) var values: [String: Value] = [:]
    /// What stands under `schedule`.
    private(set) var schedule: YAMLNode?
    /// What stands under `tables`.
    private(set) var tables: YAMLNode?
    /// What stands under `targets`.
    private(set) var targets: [Section]?

    /// Reads the file at `path`.
    init(path: String) throws(ConfigurationError) {
        try self.init(path: path, contents: SmallFile.contents(of: path, for: "--config.file"))
    }

    init(path: String, contents: [UInt8]) throws(ConfigurationError) {
        self.path = path
        ownKeys = ["schedule", "tables", "targets"]
        let root: YAMLNode?
        do {
            root = try YAMLNode.parse(contents)
        } catch {
            throw self.error(line: error.line, error.problem)
        }
        guard let root, !root.isNull else { return }
        guard let pairs = root.mapping else { throw self.error(line: root.line, "write settings as key: value") }
        try add(pairs)
        for pair in pairs where pair.key == "targets" { targets = try sections(pair) }
    }

    /// The part about one application.
    private init(path: String, section pairs: [YAMLNode.Pair]) throws(ConfigurationError) {
        self.path = path
        ownKeys = ["schedule", "tables"]
        try add(pairs)
    }

    private mutating func add(_ pairs: [YAMLNode.Pair]) throws(ConfigurationError) {
        for pair in pairs where pair.key == "schedule" { schedule = pair.value }
        for pair in pairs where pair.key == "tables" { tables = pair.value }
        try add(pairs.filter { !ownKeys.contains($0.key) }, below: "")
    }

    private func sections(_ targets: YAMLNode.Pair) throws(ConfigurationError) -> [Section] {
        guard let pairs = targets.value.mapping else {
            throw error(line: targets.line, "write targets as name: and below it the settings of the application")
        }
        guard (1...Self.maximumTargets).contains(pairs.count) else {
            throw error(line: targets.line, "targets must be 1 to \(Self.maximumTargets) applications")
        }
        var sections: [Section] = []
        for pair in pairs {
            let isName = pair.key.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
                    || "-_.".utf8.contains($0)
            }
            guard isName, (1...100).contains(pair.key.utf8.count) else {
                throw error(
                    line: pair.line,
                    "a target's name has 1 to 100 letters, digits, dots, dashes and underscores, as in shop-eu"
                )
            }
            guard let settings = pair.value.mapping else {
                throw error(line: pair.line, "a target has no settings; give it broker.url, for example")
            }
            let file = try ConfigurationFile(path: path, section: settings)
            sections.append(Section(name: pair.key, line: pair.line, file: file))
        }
        return sections
    }

    // Keys are told only once they are known for settings: where a URL stands without quotes, YAML may take a part of the
    // password for a key.
    private mutating func add(_ pairs: [YAMLNode.Pair], below parent: String) throws(ConfigurationError) {
        for pair in pairs {
            let key = parent + pair.key
            let origin = "\(path):\(pair.line): \(key)"
            let text: String
            switch pair.value.content {
            case .mapping(let pairs):
                try add(pairs, below: key + ".")
                continue
            case .scalar(let scalar):
                text = scalar
            case .sequence(let nodes):
                let scalars = nodes.compactMap(\.scalar)
                guard scalars.count == nodes.count, !scalars.contains(where: { $0.contains(",") }) else {
                    throw error(line: pair.line, "a list must be of single values without commas")
                }
                text = scalars.joined(separator: ",")
            }
            guard !pair.value.isNull else {
                throw error(line: pair.line, "a key has no value; give it one, or put quotes around what is none")
            }
            if let other = values.updateValue(Value(value: text, origin: origin, line: pair.line), forKey: key) {
                throw error(line: pair.line, "the same key stands in line \(other.line)")
            }
        }
    }

    func error(line: Int, _ problem: String) -> ConfigurationError {
        ConfigurationError("\(path):\(line): \(problem)")
    }

    /// A time zone by its IANA name.
    func zone(_ name: String, line: Int) throws(ConfigurationError) -> TimeZone {
        guard let zone = TimeZone(identifier: name) else {
            throw error(
                line: line,
                "this system has no time zone \"\(name)\"; write one such as Europe/Paris, or \(TimeZone.installation)"
            )
        }
        return zone
    }

    /// What to say of a key that means nothing. It is told if it resembles a known one; else it could be part of a password.
    func unknownKey(_ key: String, amongst known: Set<String>) -> ConfigurationError {
        let suggestion = Spelling.suggestion(for: key, amongst: known)
        let problem =
            suggestion.isEmpty ? "there is no such setting; --help lists them" : "\(key) is no setting\(suggestion)"
        return error(line: values[key]?.line ?? 1, problem)
    }
}
