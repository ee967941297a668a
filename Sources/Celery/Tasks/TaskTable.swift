internal import Postgres

/// A task table as it was found in a database, and the SQL that reads it.
struct TaskTable: Equatable, Sendable {
    /// Groups of ended tasks that one collection takes.
    static let maximumGroups = 400_000
    /// Tasks in progress that one collection counts.
    static let maximumUnfinished = 100_000
    /// A larger table is not read whole for what is in progress.
    static let maximumRowsWithoutIndex = 200_000.0

    /// Another table with more about the same tasks.
    struct Detail: Equatable, Sendable {
        let relation: Relation
        let columns: [TaskColumn: Relation.Column]

        /// For FROM.
        var name: String { relation.name }
    }

    let definition: TaskTableDefinition
    let relation: Relation
    let columns: [TaskColumn: Relation.Column]
    let details: [Detail]
    /// The zone of times that have none.
    let zone: String

    /// The name for labels and messages.
    var title: String { definition.table }
    /// For FROM.
    var name: String { relation.name }
    var identifier: Int64 { relation.identifier }
    /// What a transaction that reads it must be let read: whoever names a table trusts those who wrote it.
    var readable: ReadableRelations { definition.isExpected ? .all : .tables }
    var hasStart: Bool { columns[.started] != nil }
    var hasRetries: Bool { columns[.retries] != nil }
    var isIndexed: Bool { columns[.completed]?.isIndexed == true }
    var readsUnfinished: Bool { columns[.status]?.isIndexed == true || isSmall }
    /// Whether what has ended lately can be found without reading all.
    var isCheap: Bool { isIndexed || isSmall }
    /// Of views and the like nobody knows.
    private var isSmall: Bool { relation.kind == .table && relation.estimatedRows < Self.maximumRowsWithoutIndex }

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
        columns[column].flatMap { relation.kind.indexStatement(on: relation.shownName, $0) }
    }

    /// Makes sure, right before it is read, that what was found is what it was found to be.
    func verify(_ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        if !definition.isExpected { try relation.verify(transaction) }
        for detail in details { try detail.relation.verify(transaction) }
    }

    // MARK: Parts of SQL

    /// Types of columns that tell a time.
    static func isTime(_ column: Relation.Column) -> Bool {
        column.origin == .builtIn
            && [
                "timestamp with time zone", "timestamp without time zone", "double precision", "numeric", "bigint",
                "integer",
            ].contains(column.type)
    }

    /// Types of columns that tell a number.
    static func isNumber(_ column: Relation.Column) -> Bool {
        column.origin == .builtIn
            && ["smallint", "integer", "bigint", "numeric", "double precision", "real"].contains(column.type)
    }

    /// A column as a moment.
    func moment(_ column: Relation.Column, of table: String) -> String {
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
    func bound(_ parameter: String, _ column: Relation.Column) -> String {
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
        columns[column].map { "left(\($0.text("t.\($0.quoted)")), \(length))" } ?? "NULL::text"
    }

    /// The class of the exception with which a task failed.
    var exception: String {
        let name = "[A-Za-z_][A-Za-z0-9_.]*"
        var sources: [String] = []
        if let result = columns[.result] {
            sources.append(
                "substring(left(\(result.text("t.\(result.quoted)")), 10000) from '\"exc_type\": *\"(\(name))\"')"
            )
        }
        if let error = columns[.error] {
            sources.append("substring(left(\(error.text("t.\(error.quoted)")), 1000) from '^(\(name))(?:[:(]|\\s*$)')")
        }
        if columns[.error] == nil, let error = text(anywhere: .error) {
            sources.append("substring(left(\(error), 1000) from '^(\(name))(?:[:(]|\\s*$)')")
        }
        if let traceback = columns[.traceback] {
            // After the frames, which are indented, comes `module.Class: message`; of chained exceptions the last.
            let text = "right(\(traceback.text("t.\(traceback.quoted)")), 10000)"
            sources.append("substring(\(text) from '.*\\n  [^\\n]*\\n(\(name))(?::|\\s|$)')")
        }
        guard !sources.isEmpty else { return "NULL::text" }
        // Without its module, as some of these have it anyway.
        let found = "regexp_replace(coalesce(\(sources.joined(separator: ", ")), 'unknown'), '^.*\\.', '')"
        return "CASE WHEN \(state) = 'FAILURE' THEN \(found) END"
    }

    /// A column of this table or of a detail, and its value.
    func anywhere(_ column: TaskColumn) -> (column: Relation.Column, value: String)? {
        if let own = columns[column] { return (own, "t.\(own.quoted)") }
        for (index, detail) in details.enumerated() {
            if let other = detail.columns[column] { return (other, "d\(index).\(other.quoted)") }
        }
        return nil
    }

    /// The same as text.
    func text(anywhere column: TaskColumn) -> String? {
        anywhere(column).map { $0.column.text($0.value) }
    }

    /// This table as t, with those details that have one of these columns.
    func from(with wanted: [TaskColumn]) -> String {
        guard let own = columns[.id] else { return "\(name) AS t" }
        var text = "\(name) AS t"
        for (index, detail) in details.enumerated() {
            let isWanted = wanted.contains { columns[$0] == nil && detail.columns[$0] != nil }
            guard isWanted, let other = detail.columns[.id] else { continue }
            text += " LEFT JOIN \(detail.name) AS d\(index) ON "
            text += Self.areEqual((other, "d\(index).\(other.quoted)"), (own, "t.\(own.quoted)"))
        }
        return text
    }

    /// A condition that two columns are equal. An index serves only what is compared as it is.
    private static func areEqual(
        _ one: (column: Relation.Column, value: String),
        _ other: (column: Relation.Column, value: String)
    ) -> String {
        let areBuiltIn = one.column.origin == .builtIn && other.column.origin == .builtIn
        return areBuiltIn
            ? "\(one.value) = \(other.value)" : "\(one.column.text(one.value)) = \(other.column.text(other.value))"
    }

    static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    static func literals(_ values: [String]) -> String {
        values.map(literal).joined(separator: ", ")
    }
}
