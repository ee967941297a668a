internal import Postgres

/// Looks for task tables in a database.
struct TaskCatalog {
    /// Collections between two looks at tables, columns and indexes.
    static let collectionsBetweenLooks = 30

    /// Tables that can be read, in the order of their definitions.
    private(set) var tables: [TaskTable] = []
    /// What keeps tables that are there from being read.
    private(set) var anomalies: [Anomaly] = []
    /// Tables that are there, but may not be read.
    private(set) var unreadable: Set<String> = []

    init(_ definitions: [TaskTableDefinition], _ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        let names = definitions.flatMap { [$0.table] + $0.details.map(\.table) }
        var found: [String: Found] = [:]
        for row in try transaction.query(Self.query(count: names.count), names.flatMap(Self.arguments)) {
            guard let title = row.text(0), let name = row.text(1) else { continue }
            found[title, default: Found(name: name, row)].add(row)
        }
        for definition in definitions {
            guard let there = found[definition.table] else {
                if definition.isExpected {
                    let problem =
                        "table \(definition.table) of the configuration file is not there, or its schema is out of reach"
                    anomalies.append(Anomaly(.malformed, problem))
                }
                continue
            }
            if let table = table(definition, there, found) { tables.append(table) }
        }
    }

    private mutating func table(
        _ definition: TaskTableDefinition,
        _ there: Found,
        _ found: [String: Found]
    ) -> TaskTable? {
        let title = definition.table
        if let grant = there.missingGrant {
            unreadable.insert(title)
            anomalies.append(Anomaly(.permission, "table \(title) may not be read; run: \(grant)"))
            return nil
        }
        var columns = there.columns(definition.columns)
        let missing = TaskTableDefinition.required.filter { columns[$0] == nil }.compactMap { definition.columns[$0] }
        guard missing.isEmpty else {
            anomalies.append(Anomaly(.malformed, "table \(title) has no column \(missing.joined(separator: ", "))"))
            return nil
        }
        for (column, found) in columns {
            let isRight =
                switch column {
                case .completed, .started: TaskTable.isTime(found.type)
                case .retries, .chainTotal: TaskTable.isNumber(found.type)
                case .id, .task, .status, .error, .traceback, .result, .root: true
                }
            guard !isRight else { continue }
            anomalies.append(
                Anomaly(
                    .wrongType,
                    "column \(found.name) of table \(title) is \(found.type), so it is not read as \(column.rawValue)"
                )
            )
            if column == .completed { return nil }
            columns[column] = nil
        }
        var details: [TaskTable.Detail] = []
        for detail in definition.details {
            guard let there = found[detail.table] else { continue }
            if let grant = there.missingGrant {
                anomalies.append(Anomaly(.permission, "table \(detail.table) may not be read; run: \(grant)"))
                continue
            }
            let columns = there.columns(detail.columns).filter {
                $0.key != .chainTotal || TaskTable.isNumber($0.value.type)
            }
            guard columns[.id] != nil else { continue }
            details.append(TaskTable.Detail(name: there.name, kind: there.kind, columns: columns))
        }
        return TaskTable(
            definition: definition,
            identifier: there.identifier,
            name: there.name,
            kind: there.kind,
            columns: columns,
            details: details,
            zone: definition.zone ?? there.zone,
            estimatedRows: there.estimatedRows
        )
    }

    /// The title of a table, its schema (empty for the search path) and its name.
    private static func arguments(_ title: String) -> [String] {
        let parts = SQLName.parts(title) ?? []
        return [title, parts.count == 2 ? parts[0] : "", parts.last ?? ""]
    }

    /// Everything about a table that is there.
    private struct Found {
        let name: String
        let identifier: Int64
        let kind: TaskTable.Kind
        /// What would let it be read; nil where it may be.
        let missingGrant: String?
        let zone: String
        let estimatedRows: Double
        private var all: [String: TaskTable.Column] = [:]

        init(name: String, _ row: PostgresRow) {
            self.name = name
            identifier = row.integer(9) ?? 0
            kind =
                switch row.text(10) {
                case "r", "m": .table
                case "p": .partitioned
                default: .other
                }
            let role = row.text(6) ?? "the role"
            let schema = row.text(11) ?? "public"
            if row.boolean(12) != true {
                missingGrant = "GRANT USAGE ON SCHEMA \(schema) TO \(role); GRANT SELECT ON \(name) TO \(role)"
            } else {
                missingGrant = row.boolean(5) == true ? nil : "GRANT SELECT ON \(name) TO \(role)"
            }
            zone = row.text(7) ?? "UTC"
            estimatedRows = row.number(8) ?? 0
        }

        mutating func add(_ row: PostgresRow) {
            guard let column = row.text(2), let type = row.text(3) else { return }
            all[column] = TaskTable.Column(
                name: column,
                type: type,
                isIndexed: row.boolean(4) ?? false,
                isEnumeration: row.boolean(13) ?? false
            )
        }

        func columns(_ names: [TaskColumn: String]) -> [TaskColumn: TaskTable.Column] {
            names.compactMapValues { all[$0] }
        }
    }

    /// Columns of tables (three parameters each: title, schema, name), whether an index leads with each, and what else is
    /// to be known of the table.
    private static func query(count: Int) -> String {
        let names = (0..<max(1, count)).map { "($\(3 * $0 + 1), $\(3 * $0 + 2), $\(3 * $0 + 3))" }.joined(
            separator: ", "
        )
        return """
            SELECT names.title, c.oid::regclass::text, a.attname, format_type(a.atttypid, NULL),
                EXISTS (
                    SELECT FROM pg_catalog.pg_index
                    WHERE indrelid = c.oid AND indkey[0] = a.attnum AND indisvalid AND indpred IS NULL
                ),
                has_any_column_privilege(c.oid, 'SELECT'), quote_ident(current_user),
                (SELECT reset_val FROM pg_catalog.pg_settings WHERE pg_settings.name = 'TimeZone'),
                greatest(c.reltuples, 0), c.oid, c.relkind, quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE'),
                (SELECT typtype = 'e' FROM pg_catalog.pg_type WHERE pg_type.oid = a.atttypid)
            FROM (VALUES \(names)) AS names (title, schema, name)
            JOIN pg_catalog.pg_class AS c ON c.relname = names.name
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND CASE WHEN names.schema = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = names.schema END
            """
    }
}
