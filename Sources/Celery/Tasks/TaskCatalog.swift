internal import Postgres
internal import Reading
internal import TimeZones

/// Looks for task tables in a database.
struct TaskCatalog {
    /// Collections between two looks at tables, columns and indexes.
    static let collectionsBetweenLooks = 30

    /// Tables that can be read, in the order of their definitions.
    private(set) var tables: [TaskTable] = []
    /// What keeps tables that are there from being read.
    private(set) var problems: [SourceProblem] = []
    /// Tables that are there, but may not be read.
    private(set) var unreadable: Set<String> = []

    /// Names that several tables have.
    private(set) var doubles: [String] = []

    init(_ definitions: [TaskTableDefinition], _ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        let wanted = definitions.flatMap { definition in
            [RelationCatalog.Wanted(definition.table, columns: Array(definition.columns.values))]
                + definition.details.map { RelationCatalog.Wanted($0.table, columns: Array($0.columns.values)) }
        }
        let catalog = try RelationCatalog(wanted, transaction)
        let zone = try transaction.query(Self.zone).first?.text(0) ?? "UTC"
        var named: Set<Int64> = []
        for definition in definitions {
            guard let relation = catalog.relation(definition.table) else {
                if definition.isExpected {
                    let problem =
                        "table \(definition.table) of the configuration file is not there, or its schema is out of reach"
                    problems.append(SourceProblem(.malformed, problem))
                }
                continue
            }
            if SQLName.parts(definition.table)?.count == 2 { named.insert(relation.identifier) }
            if let table = table(definition, relation, catalog, zone: zone) { tables.append(table) }
        }
        doubles = catalog.doubles(except: named)
    }

    /// The zone that the database gives to times without one.
    private static let zone = "SELECT reset_val FROM pg_catalog.pg_settings WHERE pg_settings.name = 'TimeZone'"

    private mutating func table(
        _ definition: TaskTableDefinition,
        _ relation: Relation,
        _ catalog: RelationCatalog,
        zone: String
    ) -> TaskTable? {
        let title = definition.table
        if let grant = relation.missingGrant {
            unreadable.insert(title)
            problems.append(SourceProblem(.permission, "table \(title) may not be read; run: \(grant)"))
            return nil
        }
        let advice = "if that is well, name it under tables in the configuration file"
        if !definition.isExpected, let refusal = relation.refusal(advice: advice) {
            unreadable.insert(title)
            problems.append(refusal)
            return nil
        }
        var columns = definition.columns.compactMapValues { relation.columns[$0] }
        let missing = TaskTableDefinition.required.filter { columns[$0] == nil }.compactMap { definition.columns[$0] }
        guard missing.isEmpty else {
            problems.append(
                SourceProblem(.malformed, "table \(title) has no column \(missing.joined(separator: ", "))")
            )
            return nil
        }
        for (column, found) in columns {
            let isRight =
                switch column {
                case .completed, .started: TaskTable.isTime(found)
                case .retries, .chainTotal: TaskTable.isNumber(found)
                case .id, .task, .status, .error, .traceback, .result, .root: true
                }
            guard !isRight else { continue }
            problems.append(
                SourceProblem(
                    .wrongType,
                    "column \(found.name) of table \(title) is \(found.type), so it is not read as \(column.rawValue)"
                )
            )
            if column == .completed { return nil }
            columns[column] = nil
        }
        return TaskTable(
            definition: definition,
            relation: relation,
            columns: columns,
            details: definition.details.compactMap { detail($0, catalog) },
            zone: definition.zone ?? zone
        )
    }

    private mutating func detail(_ detail: TaskTableDefinition.Detail, _ catalog: RelationCatalog) -> TaskTable.Detail?
    {
        guard let relation = catalog.relation(detail.table) else { return nil }
        if let grant = relation.missingGrant {
            problems.append(SourceProblem(.permission, "table \(detail.table) may not be read; run: \(grant)"))
            return nil
        }
        if let refusal = relation.refusal(advice: "make it a plain table") {
            problems.append(refusal)
            return nil
        }
        let columns = detail.columns.compactMapValues { relation.columns[$0] }.filter {
            $0.key != .chainTotal || TaskTable.isNumber($0.value)
        }
        return columns[.id] == nil ? nil : TaskTable.Detail(relation: relation, columns: columns)
    }
}
