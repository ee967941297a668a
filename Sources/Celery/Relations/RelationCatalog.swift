internal import Postgres

/// Finds relations by their names in a database.
///
/// Whoever may make a schema or a table can make one by a name that is looked for. Of several the one is taken whose owner is
/// closest to the database: its owner's first, then its schema's owner's, then others'; a schema by the name of the role that
/// asks, which the search path has first, comes last unless the database's owner made it. The search path decides among equals.
struct RelationCatalog {
    /// What to look for.
    struct Wanted {
        let title: String
        /// Empty for the search path.
        let schema: String
        let name: String
        let columns: [String]

        /// - Parameter title: as in SQL.
        init(_ title: String, columns: [String]) {
            let parts = SQLName.parts(title) ?? []
            self.init(title: title, schema: parts.count == 2 ? parts[0] : "", name: parts.last ?? "", columns: columns)
        }

        init(title: String, schema: String, name: String, columns: [String]) {
            self.title = title
            self.schema = schema
            self.name = name
            self.columns = columns
        }
    }

    /// By title, the one to take first.
    private var found: [String: [Relation]] = [:]

    /// Columns in one answer, which bounds its size.
    static let maximumRows = 10_000
    private static let maximumSchemas = 100

    init(_ wanted: [Wanted], _ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        let path = wanted.contains { $0.schema.isEmpty } ? try transaction.searchPath() : []
        var query = Query()
        let rows = try transaction.query(query.sql(wanted, Array(path.prefix(Self.maximumSchemas))), query.arguments)
        var columns: [Int64: [String: Relation.Column]] = [:]
        for row in rows.prefix(Self.maximumRows) {
            guard let identifier = row.integer(Column.identifier), let column = Self.column(row) else { continue }
            columns[identifier, default: [:]][column.name] = column
        }
        for row in rows.prefix(Self.maximumRows) {
            guard let relation = Self.relation(row, columns),
                let wanted = wanted.first(where: { $0.title == relation.title }),
                found[relation.title]?.contains(where: { $0.identifier == relation.identifier }) != true
            else { continue }
            found[wanted.title, default: []].append(relation)
        }
        for (title, relations) in found {
            let first = path.first { schema in relations.contains { $0.schema == schema } }
            for index in relations.indices where relations[index].schema == first {
                found[title]?[index].shownName = SQLName.quoted(relations[index].plainName)
            }
        }
    }

    func relation(_ title: String) -> Relation? { found[title]?.first }

    /// The one by that name in the same schema as another.
    func relation(_ title: String, besides other: Relation) -> Relation? {
        found[title]?.first { $0.schema == other.schema }
    }

    /// That there are several by one name, a line for each name.
    ///
    /// - Parameter named: relations that someone has named with their schemas, so that all is said.
    func doubles(except named: Set<Int64> = []) -> [String] {
        found.values.compactMap { relations in
            guard relations.count > 1, let first = relations.first, !named.contains(first.identifier) else {
                return nil
            }
            let others = relations.dropFirst().map { "\($0.name) of \($0.owner)" }.joined(separator: ", ")
            return "there are several \(first.title): \(first.name) of \(first.owner) is read, \(others) is not; "
                + "remove what is not the application's, or leave one in the search path"
        }.sorted()
    }

    // MARK: Rows

    private static func relation(_ row: PostgresRow, _ columns: [Int64: [String: Relation.Column]]) -> Relation? {
        guard let title = row.text(Column.title), let identifier = row.integer(Column.identifier),
            let schema = row.text(Column.schema), let name = row.text(Column.name),
            let quotedSchema = row.text(Column.quotedSchema), let quotedName = row.text(Column.quotedName)
        else { return nil }
        let qualified = "\(quotedSchema).\(quotedName)"
        let kind: Relation.Kind =
            switch row.text(Column.kind) {
            case "r", "m": .table
            case "p": .partitioned
            default: .other
            }
        return Relation(
            title: title,
            identifier: identifier,
            schema: schema,
            plainName: name,
            name: qualified,
            shownName: qualified,
            owner: row.text(Column.owner) ?? "somebody",
            kind: kind,
            // What this program does not know is no better than what it does.
            hazard: row.text(Column.hazard).map { Relation.Hazard(rawValue: $0) ?? .view },
            role: row.text(Column.role) ?? "the role",
            isOpen: row.boolean(Column.isOpen) == true,
            isReadable: row.boolean(Column.isReadable) == true,
            estimatedRows: row.number(Column.rows) ?? 0,
            columns: columns[identifier] ?? [:]
        )
    }

    private static func column(_ row: PostgresRow) -> Relation.Column? {
        guard let name = row.text(Column.column), let type = row.text(Column.type) else { return nil }
        let origin: Relation.TypeOrigin =
            if row.boolean(Column.isBuiltIn) == true {
                .builtIn
            } else if row.boolean(Column.isEnumeration) == true {
                .enumeration
            } else {
                .other
            }
        return Relation.Column(
            name: name,
            type: type,
            origin: origin,
            isIndexed: row.boolean(Column.isIndexed) == true && origin != .other
        )
    }
}

/// Of a column (a) of a relation (r) that was looked for.
private enum Column: Int, SelectedColumn {
    case title, identifier, kind, schema, name, quotedSchema, quotedName, owner, isOpen, isReadable, role, rows, hazard
    case column, type, isBuiltIn, isEnumeration, isIndexed

    /// Objects with an id below belong to PostgreSQL itself. Source: src/include/access/transam.h, `FirstNormalObjectId`.
    private static let firstForeignObject = 16_384

    var expression: String {
        switch self {
        case .title: "r.title"
        case .identifier: "r.oid"
        case .kind: "r.relkind"
        case .schema: "r.schema"
        case .name: "r.name"
        case .quotedSchema: "quote_ident(r.schema)"
        case .quotedName: "quote_ident(r.name)"
        case .owner: "r.owner"
        case .isOpen: "r.is_open"
        case .isReadable: "r.is_readable"
        case .role: "quote_ident(current_user)"
        case .rows: "r.rows"
        case .hazard: "r.hazard"
        case .column: "a.attname"
        case .type: "format_type(a.atttypid, NULL)"
        case .isBuiltIn: "a.atttypid < \(Self.firstForeignObject)"
        case .isEnumeration: "(SELECT typtype = 'e' FROM pg_catalog.pg_type WHERE pg_type.oid = a.atttypid)"
        case .isIndexed:
            """
            EXISTS (
                SELECT FROM pg_catalog.pg_index
                WHERE indrelid = r.oid AND indkey[0] = a.attnum AND indisvalid AND indpred IS NULL
            )
            """
        }
    }
}

/// The question for relations by their names, with its parameters.
private struct Query {
    private(set) var arguments: [String] = []

    private mutating func parameter(_ value: String) -> String {
        arguments.append(value)
        return "$\(arguments.count)"
    }

    /// A row for each wanted column of each relation.
    mutating func sql(_ wanted: [RelationCatalog.Wanted], _ path: [String]) -> String {
        var names: [String] = []
        for one in wanted {
            names.append("(\(parameter(one.title)), \(parameter(one.schema)), \(parameter(one.name)))")
        }
        // A relation without a schema must be possible to look for, too.
        var schemas = ["('', 0)"]
        for (place, schema) in path.enumerated() { schemas.append("(\(parameter(schema)), \(place + 1))") }
        var columns: [String] = []
        for column in Set(wanted.flatMap(\.columns)).sorted() { columns.append(parameter(column)) }
        return """
            SELECT \(Column.list(\.expression))
            FROM (
                SELECT names.title, c.oid, c.relkind, n.nspname AS schema, c.relname AS name, path.place,
                    quote_ident(pg_get_userbyid(c.relowner)) AS owner, \(Self.distance) AS distance,
                    has_schema_privilege(n.oid, 'USAGE') AS is_open,
                    has_any_column_privilege(c.oid, 'SELECT') AS is_readable,
                    greatest(c.reltuples, 0) AS rows, \(Self.hazard) AS hazard
                FROM (VALUES \(names.joined(separator: ", "))) AS names (title, schema, name)
                JOIN pg_catalog.pg_class AS c ON c.relname = names.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                JOIN pg_catalog.pg_database AS d ON d.datname = current_database()
                LEFT JOIN (VALUES \(schemas.joined(separator: ", "))) AS path (schema, place) ON path.schema = n.nspname
                WHERE CASE WHEN names.schema = '' THEN path.place IS NOT NULL ELSE n.nspname = names.schema END
                OFFSET 0
            ) AS r
            LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attname IN (\(columns.isEmpty ? "''" : columns.joined(separator: ", ")))
            ORDER BY r.title, r.distance, r.place, r.oid
            LIMIT \(RelationCatalog.maximumRows)
            """
    }

    private static let oneself = "(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)"

    /// How far the owner of relation c in schema n is from database d.
    private static let distance = """
        CASE
            WHEN n.nspname = current_user AND n.nspowner <> \(oneself) AND NOT pg_has_role(n.nspowner, d.datdba, 'MEMBER')
                THEN 3
            WHEN c.relowner = \(oneself) OR pg_has_role(c.relowner, d.datdba, 'MEMBER') THEN 0
            WHEN pg_has_role(c.relowner, n.nspowner, 'MEMBER') THEN 1
            ELSE 2
        END
        """

    /// Relation c with all that it has as parts.
    private static let family = """
        WITH RECURSIVE family (oid) AS (
            SELECT c.oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN family ON i.inhparent = family.oid
        )
        """

    /// Why reading relation c may run what neither a superuser nor the role itself wrote, as `Relation.Hazard` has it.
    ///
    /// Source of what planning evaluates: `eval_const_expressions` in src/backend/utils/cache/relcache.c and partcache.c, and
    /// in src/backend/optimizer/util/plancat.c.
    private static let hazard = """
        CASE
            WHEN c.relkind = 'v' THEN 'view'
            WHEN c.relkind = 'm' THEN 'materialized view'
            WHEN c.relkind = 'f' THEN 'foreign table'
            WHEN row_security_active(c.oid) THEN 'policy'
            WHEN EXISTS (
                \(family) SELECT FROM family JOIN pg_catalog.pg_class AS part ON part.oid = family.oid
                WHERE part.relkind NOT IN ('r', 'p')
            ) THEN 'foreign part'
            WHEN EXISTS (
                \(family) SELECT FROM family
                CROSS JOIN LATERAL (
                    SELECT 'pg_catalog.pg_class'::regclass, family.oid
                    UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid FROM pg_catalog.pg_index
                    WHERE indrelid = family.oid
                    UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid FROM pg_catalog.pg_constraint
                    WHERE conrelid = family.oid
                    UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, oid FROM pg_catalog.pg_statistic_ext
                    WHERE stxrelid = family.oid
                ) AS object (class, oid)
                JOIN pg_catalog.pg_depend AS used ON used.classid = object.class AND used.objid = object.oid
                JOIN pg_catalog.pg_proc AS function ON function.oid = CASE used.refclassid
                    WHEN 'pg_catalog.pg_proc'::regclass THEN used.refobjid
                    WHEN 'pg_catalog.pg_operator'::regclass
                        THEN (SELECT oprcode FROM pg_catalog.pg_operator WHERE pg_operator.oid = used.refobjid)
                END
                JOIN pg_catalog.pg_roles AS writer ON writer.oid = function.proowner
                WHERE NOT writer.rolsuper AND writer.rolname <> current_user
            ) THEN 'function'
        END
        """
}
