internal import Postgres
internal import Reading

/// A table, or what stands in its place, that was found by its name, as PostgreSQL's catalogue has it.
struct Relation: Equatable, Sendable {
    /// How it was looked for.
    let title: String
    /// PostgreSQL's own id, another for a table that was made anew.
    let identifier: Int64
    let schema: String
    let plainName: String
    /// With its schema, for FROM.
    let name: String
    /// For people: with its schema only where the search path does not find it.
    var shownName: String
    /// Its owner, as SQL wants the name.
    let owner: String
    let kind: Kind
    /// Why reading it may run what others wrote.
    let hazard: Hazard?
    /// The role that asks, as SQL wants the name.
    let role: String
    /// Whether the role may look into the schema, and read at least a column.
    let isOpen: Bool
    let isReadable: Bool
    /// Rows, as far as PostgreSQL has counted them.
    let estimatedRows: Double
    /// Those that were looked for, by name.
    let columns: [String: Column]

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

    /// What makes PostgreSQL run, with the rights of who reads a relation, what its owner wrote. A query runs a view's
    /// functions and a policy's; planning it already runs those of constant expressions in indexes, constraints, statistics
    /// and partition keys.
    enum Hazard: String, Sendable {
        case view
        case materializedView = "materialized view"
        case foreignTable = "foreign table"
        case policy
        case foreignPart = "foreign part"
        case function

        /// What follows the relation's name.
        var description: String {
            switch self {
            case .view, .materializedView, .foreignTable: "is a \(rawValue)"
            case .policy: "has a row-security policy"
            case .foreignPart: "has a foreign table among its parts"
            case .function: "has an index, a constraint or statistics with a function that another role wrote"
            }
        }
    }

    struct Column: Equatable, Sendable {
        let name: String
        /// As PostgreSQL's `format_type` says it, with the schema unless the type is PostgreSQL's own.
        let type: String
        let origin: TypeOrigin
        /// Whether an index leads with it that is of use.
        let isIndexed: Bool

        /// Quoted, as SQL wants it.
        var quoted: String { SQLName.quoted(name) }

        /// A value of the column as text: by the type's output alone, since casts of a type of others are theirs.
        func text(_ value: String) -> String {
            switch origin {
            case .builtIn: "\(value)::text"
            case .enumeration, .other: "(CASE WHEN \(value) IS NOT NULL THEN format('%s', \(value)) END)"
            }
        }

        /// A parameter that is compared with the column.
        func parameter(_ number: Int) -> String {
            origin == .enumeration ? "$\(number)::\(type)" : "$\(number)"
        }
    }

    /// Who made the type of a column, and so its casts and operators.
    enum TypeOrigin: Equatable, Sendable {
        case builtIn
        /// Compared by PostgreSQL itself.
        case enumeration
        case other
    }

    /// What would let it be read; nil where it may be.
    var missingGrant: String? {
        let grant = "GRANT SELECT ON \(shownName) TO \(role)"
        guard isOpen else { return "GRANT USAGE ON SCHEMA \(SQLName.quoted(schema)) TO \(role); \(grant)" }
        return isReadable ? nil : grant
    }

    /// Why it is not read where nobody named it; nil where it is.
    func refusal(advice: String) -> SourceProblem? {
        hazard.map { hazard in
            SourceProblem(
                .wrongType,
                "\(shownName) of \(owner) \(hazard.description), which may run what others wrote with the exporter's rights, "
                    + "so it is not read; \(advice)"
            )
        }
    }

    /// Makes sure, right before it is read, that it still is what it was found to be.
    func verify(_ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        let wanted = RelationCatalog.Wanted(title: title, schema: schema, name: plainName, columns: Array(columns.keys))
        let now = try RelationCatalog([wanted], transaction).relation(title)
        guard let now else { throw transaction.missing(shownName) }
        guard now.hazard == nil, columns.allSatisfy({ now.columns[$0.key]?.type == $0.value.type }) else {
            let problem = now.hazard?.description ?? "has other columns"
            throw transaction.unexpected("\(shownName) \(problem) since it was looked at")
        }
    }
}
