/// A task table as it was found in a database, and the SQL that reads it.
struct TaskTable: Equatable, Sendable {
    /// Groups in one result, which bounds its size.
    static let maximumGroups = 100_000
    /// A larger table is not read whole for what is in progress.
    static let maximumRowsWithoutIndex = 200_000.0

    struct Column: Equatable, Sendable {
        let name: String
        /// As PostgreSQL's `format_type` says it.
        let type: String
        /// Whether an index leads with it.
        let isIndexed: Bool
        /// Whether the type is an ENUM of the database's own.
        let isEnumeration: Bool

        /// Quoted, as SQL wants it.
        var quoted: String { SQLName.quoted(name) }
    }

    /// Another table with more about the same tasks.
    struct Detail: Equatable, Sendable {
        let name: String
        let kind: Kind
        let columns: [TaskColumn: Column]
    }

    let definition: TaskTableDefinition
    /// PostgreSQL's own id, another for a table that was made anew.
    let identifier: Int64
    /// For FROM, as PostgreSQL itself quotes it.
    let name: String
    let kind: Kind
    let columns: [TaskColumn: Column]
    let details: [Detail]
    /// The zone of times that have none.
    let zone: String
    /// Rows, as far as PostgreSQL has counted them.
    let estimatedRows: Double

    /// The name for labels and messages.
    var title: String { definition.table }
    var hasStart: Bool { columns[.started] != nil }
    var hasRetries: Bool { columns[.retries] != nil }
    var isIndexed: Bool { columns[.completed]?.isIndexed == true }
    var readsUnfinished: Bool { columns[.status]?.isIndexed == true || isSmall }
    /// Whether what has ended lately can be found without reading all.
    var isCheap: Bool { isIndexed || isSmall }
    /// Of views and the like nobody knows.
    private var isSmall: Bool { kind == .table && estimatedRows < Self.maximumRowsWithoutIndex }

    /// What would make collections cheap; nil where nothing is missing.
    var advice: String? {
        if !isIndexed, let statement = indexStatement(.completed) {
            return
                "\(title) has no index on its completion time, so each collection reads the whole table; run: \(statement)"
        }
        if !readsUnfinished, let statement = indexStatement(.status) {
            return
                "\(title) is large and has no index on its state, so tasks in progress are not counted; run: \(statement)"
        }
        return nil
    }

    /// What makes the missing index on a column.
    func indexStatement(_ column: TaskColumn) -> String? {
        columns[column].flatMap { kind.indexStatement(on: name, $0) }
    }

    /// What a relation is, as far as indexes go.
    enum Kind: Equatable, Sendable {
        case table
        case partitioned
        /// A view or a foreign table, which has none of its own.
        case other

        /// What makes the index that leads with a column; nil where there is one.
        func indexStatement(on table: String, _ column: Column) -> String? {
            guard !column.isIndexed else { return nil }
            let plain = table.split(separator: ".").last.map { $0.filter { $0 != "\"" } } ?? "task"
            let index = SQLName.quoted("\(plain)_\(column.name)")
            return switch self {
            case .table: "CREATE INDEX CONCURRENTLY \(index) ON \(table) (\(column.quoted))"
            case .partitioned: "CREATE INDEX \(index) ON \(table) (\(column.quoted))"
            case .other: "nothing on \(table), which is no table: index what it reads by \(column.quoted)"
            }
        }
    }

    // MARK: Parts of SQL

    /// Types of columns that tell a time.
    static func isTime(_ type: String) -> Bool {
        ["timestamp with time zone", "timestamp without time zone", "double precision", "numeric", "bigint", "integer"]
            .contains(type)
    }

    /// Types of columns that tell a number.
    static func isNumber(_ type: String) -> Bool {
        ["smallint", "integer", "bigint", "numeric", "double precision", "real"].contains(type)
    }

    /// A column as a moment.
    func moment(_ column: Column, of table: String) -> String {
        let value = "\(table).\(column.quoted)"
        // What cannot be converted must cost no more than its own row.
        return switch column.type {
        case "timestamp with time zone": value
        case "timestamp without time zone":
            "(CASE WHEN \(value) BETWEEN '1900-01-01' AND '9999-01-01' THEN \(value) AT TIME ZONE \(Self.literal(zone)) END)"
        default: "(CASE WHEN \(value) BETWEEN -1e11 AND 1e11 THEN to_timestamp(\(value)) END)"
        }
    }

    /// A moment (Unix seconds) as the column has it, so that an index is of use.
    func bound(_ parameter: String, _ column: Column) -> String {
        switch column.type {
        case "timestamp with time zone": "to_timestamp(\(parameter)::float8)"
        case "timestamp without time zone": "(to_timestamp(\(parameter)::float8) AT TIME ZONE \(Self.literal(zone)))"
        // Of the column's own type, or the index on it would be of no use.
        case "bigint", "integer": "ceil(\(parameter)::float8)::bigint"
        case "numeric": "\(parameter)::numeric"
        default: "\(parameter)::float8"
        }
    }

    func moment(_ column: TaskColumn) -> String? {
        columns[column].map { moment($0, of: "t") }
    }

    /// A text column, shortened to what a label may hold; NULL where there is none.
    func text(_ column: TaskColumn, length: Int = 200) -> String {
        columns[column].map { "left(t.\($0.quoted)::text, \(length))" } ?? "NULL::text"
    }

    /// The class of the exception with which a task failed.
    var exception: String {
        let name = "[A-Za-z_][A-Za-z0-9_.]*"
        var sources: [String] = []
        if let result = columns[.result] {
            sources.append("substring(left(t.\(result.quoted)::text, 10000) from '\"exc_type\": *\"(\(name))\"')")
        }
        if let error = columns[.error] {
            sources.append("substring(left(t.\(error.quoted)::text, 1000) from '^(\(name))(?:[:(]|\\s*$)')")
        }
        if columns[.error] == nil, let error = anywhere(.error) {
            sources.append("substring(left(\(error)::text, 1000) from '^(\(name))(?:[:(]|\\s*$)')")
        }
        if let traceback = columns[.traceback] {
            // After the frames, which are indented, comes `module.Class: message`; of chained exceptions the last.
            let text = "right(t.\(traceback.quoted)::text, 10000)"
            sources.append("substring(\(text) from '.*\\n  [^\\n]*\\n(\(name))(?::|\\s|$)')")
        }
        guard !sources.isEmpty else { return "NULL::text" }
        // Without its module, as some of these have it anyway.
        let found = "regexp_replace(coalesce(\(sources.joined(separator: ", ")), 'unknown'), '^.*\\.', '')"
        return "CASE WHEN \(state) = 'FAILURE' THEN \(found) END"
    }

    /// A column of this table or of a detail.
    func anywhere(_ column: TaskColumn) -> String? {
        if let own = columns[column] { return "t.\(own.quoted)" }
        for (index, detail) in details.enumerated() {
            if let other = detail.columns[column] { return "d\(index).\(other.quoted)" }
        }
        return nil
    }

    /// This table as t, with those details that have one of these columns.
    func from(with wanted: [TaskColumn]) -> String {
        guard let own = columns[.id] else { return "\(name) AS t" }
        var text = "\(name) AS t"
        for (index, detail) in details.enumerated() {
            let isWanted = wanted.contains { columns[$0] == nil && detail.columns[$0] != nil }
            guard isWanted, let other = detail.columns[.id] else { continue }
            text += " LEFT JOIN \(detail.name) AS d\(index) ON d\(index).\(other.quoted) = t.\(own.quoted)"
        }
        return text
    }

    static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    static func literals(_ values: [String]) -> String {
        values.map(literal).joined(separator: ", ")
    }
}
