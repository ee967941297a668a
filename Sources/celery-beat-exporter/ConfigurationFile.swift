internal import Celery
internal import Glibc
internal import YAML

/// The YAML file that `--config.file` names. Its keys are the names of flags, whole (`beat.grace: 5s`) or in parts (`beat:` and
/// below it `grace: 5s`), and `schedule` and `tables`, which have no flag.
struct ConfigurationFile {
    struct Value: Equatable {
        let value: String
        /// File, line and key, for messages.
        let origin: String
        let line: Int
    }

    /// Keys without a flag.
    static let ownKeys: Set<String> = ["schedule", "tables"]

    let path: String
    private(set) var values: [String: Value] = [:]
    /// What stands under `schedule`.
    private(set) var schedule: YAMLNode?
    /// What stands under `tables`.
    private(set) var tables: YAMLNode?

    /// Reads the file at `path`.
    init(path: String) throws(ConfigurationError) {
        try self.init(path: path, contents: Self.contents(of: path))
    }

    init(path: String, contents: [UInt8]) throws(ConfigurationError) {
        self.path = path
        let root: YAMLNode?
        do {
            root = try YAMLNode.parse(contents)
        } catch {
            throw self.error(line: error.line, error.problem)
        }
        guard let root, !root.isNull else { return }
        guard let pairs = root.mapping else { throw self.error(line: root.line, "write settings as key: value") }
        for pair in pairs where pair.key == "schedule" { schedule = pair.value }
        for pair in pairs where pair.key == "tables" { tables = pair.value }
        try add(pairs.filter { !Self.ownKeys.contains($0.key) }, below: "")
    }

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
                    throw ConfigurationError("\(origin): must be a list of single values without commas")
                }
                text = scalars.joined(separator: ",")
            }
            guard !pair.value.isNull else {
                throw ConfigurationError("\(origin): has no value; give one or remove the key")
            }
            if let other = values.updateValue(Value(value: text, origin: origin, line: pair.line), forKey: key) {
                throw ConfigurationError("\(origin): is there already, in line \(other.line)")
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
                "this system has no time zone \"\(name)\"; write one such as Europe/Paris, or install tzdata"
            )
        }
        return zone
    }

    /// What to say of a key that means nothing.
    func unknownKey(_ key: String, amongst known: Set<String>) -> ConfigurationError {
        let line = values[key]?.line ?? 1
        return error(line: line, "\(key) is no setting\(Self.suggestion(for: key, amongst: known))")
    }

    /// The known name that is most alike, if any is.
    static func suggestion(for name: String, amongst known: Set<String>) -> String {
        let nearest = known.sorted().min { distance($0, name) < distance($1, name) }
        guard let nearest, distance(nearest, name) <= max(2, name.count / 3) else { return "" }
        return "; did you mean \(nearest)?"
    }

    /// Characters to insert, remove or replace to make one text the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for character in left {
            var next = [row[0] + 1]
            for (index, other) in right.enumerated() {
                next.append(min(row[index] + (character == other ? 0 : 1), row[index + 1] + 1, next[index] + 1))
            }
            row = next
        }
        return row[right.count]
    }

    private static func contents(of path: String) throws(ConfigurationError) -> [UInt8] {
        guard let file = fopen(path, "re") else {
            throw ConfigurationError("--config.file: cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        // One byte more than is allowed shows that there are too many.
        var bytes = [UInt8](repeating: 0, count: YAMLNode.maximumBytes + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0 else {
            throw ConfigurationError("--config.file: cannot read \(path): \(String(cString: strerror(errno)))")
        }
        return Array(bytes.prefix(count))
    }
}
