package import Postgres

/// Tables of django-celery-beat that are somewhere else than where they are looked for.
package struct DatabaseSchedulerPlace: Equatable, Sendable {
    /// Nil for the address's own.
    package var database: String?
    package var schema: String
    /// Whether the role may look into the schema.
    package var isOpen: Bool

    package init(database: String?, schema: String, isOpen: Bool) {
        self.database = database
        self.schema = schema
        self.isOpen = isOpen
    }
}

/// Looks for django-celery-beat's tables in the other schemas of a database, and in the other databases of its server.
package struct DatabaseSchedulerSearch {
    package struct Outcome: Equatable, Sendable {
        package var places: [DatabaseSchedulerPlace] = []
        /// What could not be looked through, and why: a line each.
        package var gaps: [String] = []
    }

    private let address: PostgresAddress
    private let timeout: Duration
    private let end: ContinuousClock.Instant

    /// Each takes a connection of its own, one after the other.
    private static let maximumDatabases = 10

    /// - Parameters:
    ///   - timeout: of each connection.
    ///   - end: then no further database is looked into.
    package init(_ address: PostgresAddress, timeout: Duration, until end: ContinuousClock.Instant) {
        self.address = address
        self.timeout = timeout
        self.end = end
    }

    package func run() -> Outcome {
        var outcome = Outcome()
        var others: [String] = []
        do throws(PostgresError) {
            others = try PostgresClient(address: address, timeout: timeout).readOnly(until: .now + timeout) {
                (transaction) throws(PostgresError) in
                outcome.places = try Self.places(transaction, in: nil)
                return try transaction.query(Self.databases).compactMap { $0.text(0) }
            }
        } catch {
            outcome.gaps.append(error.description)
        }
        if others.count > Self.maximumDatabases {
            outcome.gaps.append("databases beyond the first \(Self.maximumDatabases)")
        }
        for database in others.prefix(Self.maximumDatabases) {
            guard ContinuousClock.now < end else {
                outcome.gaps.append("database \(database): no time was left")
                continue
            }
            do throws(PostgresError) {
                let client = PostgresClient(address: address.of(database: database), timeout: timeout)
                outcome.places += try client.readOnly(until: .now + timeout) { (transaction) throws(PostgresError) in
                    try Self.places(transaction, in: database)
                }
            } catch {
                outcome.gaps.append("database \(database): \(error.description)")
            }
        }
        return outcome
    }

    private static func places(
        _ transaction: borrowing PostgresTransaction,
        in database: String?
    ) throws(PostgresError) -> [DatabaseSchedulerPlace] {
        try transaction.query(schemas).compactMap { row in
            row.text(PlaceColumn.schema).map {
                DatabaseSchedulerPlace(database: database, schema: $0, isOpen: row.boolean(PlaceColumn.isOpen) == true)
            }
        }
    }

    private enum PlaceColumn: Int, SelectedColumn {
        case schema, isOpen

        var expression: String {
            switch self {
            case .schema: "n.nspname"
            case .isOpen: "has_schema_privilege(n.oid, 'USAGE')"
            }
        }
    }

    /// The catalogue tells of tables that may not be read, too.
    private static let schemas = """
        SELECT \(PlaceColumn.list(\.expression))
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'django_celery_beat_periodictasks' AND c.relkind IN ('r', 'p')
        ORDER BY n.nspname LIMIT 10
        """
    private static let databases = """
        SELECT datname FROM pg_catalog.pg_database
        WHERE datallowconn AND NOT datistemplate AND datname <> current_database()
            AND has_database_privilege(datname, 'CONNECT')
        ORDER BY datname LIMIT \(maximumDatabases + 1)
        """
}
