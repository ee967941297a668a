internal import Celery
internal import YAML

/// Reads what stands under `tables` in the configuration file: task tables that nobody knows of, and what differs in one
/// that is known.
///
///     tables:
///       - table: jobs.runs
///         id: run_id
///         task: name
///         status: state
///         completed: finished_at
///         states: {done: SUCCESS, broken: FAILURE}
///       - table: celery_taskmeta
///         zone: Europe/Paris
struct TaskTables {
    /// All tables to look for: those of the file, then the known ones.
    let definitions: [TaskTableDefinition]

    private static let maximumTables = 20
    private static let maximumStates = 50
    private static let states: Set<String> = [
        "PENDING", "RECEIVED", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED",
    ]

    init(_ file: ConfigurationFile) throws(ConfigurationError) {
        guard let node = file.tables else {
            definitions = TaskTableDefinition.known
            return
        }
        guard let nodes = node.sequence, !nodes.isEmpty, nodes.count <= Self.maximumTables else {
            throw file.error(line: node.line, "tables must be a list of 1 to \(Self.maximumTables) tables")
        }
        var own: [TaskTableDefinition] = []
        for node in nodes {
            let definition = try Self.definition(node, file)
            guard !own.contains(where: { $0.table == definition.table }) else {
                throw file.error(line: node.line, "the table \(definition.table) is there already; describe it once")
            }
            own.append(definition)
        }
        // A known table of which only details differ keeps its place.
        let known = TaskTableDefinition.known.map { known in
            own.first { $0.table == known.table && $0.columns == known.columns } ?? known
        }
        let first = own.filter { !known.contains($0) }
        definitions = first + known.filter { known in !first.contains { $0.table == known.table } }
    }

    private static func definition(
        _ node: YAMLNode,
        _ file: ConfigurationFile
    ) throws(ConfigurationError) -> TaskTableDefinition {
        guard let pairs = node.mapping, let table = pairs.first(where: { $0.key == "table" })?.value.scalar,
            !table.isEmpty
        else { throw file.error(line: node.line, "a table needs table:, its name as in SQL") }
        guard SQLName.parts(table) != nil else {
            throw file.error(
                line: node.line,
                "\"\(table)\" is no name of a table; write it as in SQL, such as jobs.runs or \"Jobs\".\"Runs\""
            )
        }
        let known = TaskTableDefinition.known.first { $0.table == table }
        var definition = known ?? TaskTableDefinition(table: table, columns: [:])
        definition.isExpected = true
        let keys = Set(TaskColumn.allCases.map(\.rawValue)).union(["table", "zone", "states"])
        for pair in pairs where pair.key != "table" {
            if pair.key == "states" {
                definition.states = try states(pair, file)
                continue
            }
            guard let text = pair.value.scalar, !text.isEmpty, text.utf8.count <= 63 else {
                throw file.error(line: pair.line, "\(pair.key) must be a name of 1 to 63 bytes")
            }
            if pair.key == "zone" {
                _ = try file.zone(text, line: pair.line)
                definition.zone = text
            } else if let column = TaskColumn(rawValue: pair.key) {
                definition.columns[column] = text
            } else {
                let suggestion = Spelling.suggestion(for: pair.key, amongst: keys)
                throw file.error(line: pair.line, "a table has no key \(pair.key)\(suggestion)")
            }
        }
        guard definition.columns[.status] != nil, definition.columns[.completed] != nil else {
            throw file.error(
                line: node.line,
                "the table \(table) is not known; say which columns are status: and completed:"
            )
        }
        return definition
    }

    private static func states(_ pair: YAMLNode.Pair, _ file: ConfigurationFile) throws(ConfigurationError) -> [String:
        String]
    {
        guard let pairs = pair.value.mapping, pairs.count <= maximumStates else {
            throw file.error(line: pair.line, "states must say its word for each of Celery's, as in {done: SUCCESS}")
        }
        var states: [String: String] = [:]
        for pair in pairs {
            guard let state = pair.value.scalar, Self.states.contains(state) else {
                let all = Self.states.sorted().joined(separator: ", ")
                throw file.error(line: pair.line, "\(pair.key) must stand for one of \(all)")
            }
            states[pair.key] = state
        }
        return states
    }
}
