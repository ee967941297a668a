internal import Postgres
internal import Reading

/// The tables of django-celery-beat as they were found in a database. Source: django_celery_beat/models.py.
struct DatabaseSchedulerTables {
    /// What tells of every change; read by nobody but beat: its scans are the heartbeat.
    let changes: Relation
    private let tasks: Relation
    private let intervals: Relation
    private let crontabs: Relation
    private let clocked: Relation

    private static let changesTitle = "django_celery_beat_periodictasks"
    private static let tasksTitle = "django_celery_beat_periodictask"
    private static let intervalsTitle = "django_celery_beat_intervalschedule"
    private static let crontabsTitle = "django_celery_beat_crontabschedule"
    private static let clockedTitle = "django_celery_beat_clockedschedule"
    private static let wanted = [
        RelationCatalog.Wanted(changesTitle, columns: ["last_update"]),
        RelationCatalog.Wanted(
            tasksTitle,
            columns: [
                "name", "task", "enabled", "queue", "last_run_at", "total_run_count", "date_changed", "start_time",
                "expires",
                "one_off", "interval_id", "crontab_id", "clocked_id", "solar_id",
            ]
        ),
        RelationCatalog.Wanted(intervalsTitle, columns: ["id", "every", "period"]),
        RelationCatalog.Wanted(
            crontabsTitle,
            columns: ["id", "minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone"]
        ),
        RelationCatalog.Wanted(clockedTitle, columns: ["id", "clocked_time"]),
    ]

    /// - Returns: nil where they are not there, or are not as django-celery-beat makes them; `problems` tells of those.
    init?(
        _ transaction: borrowing PostgresTransaction,
        _ problems: inout [SourceProblem],
        _ advice: inout [String]
    ) throws(PostgresError) {
        let catalog = try RelationCatalog(Self.wanted, transaction)
        advice = catalog.doubles()
        guard let tasks = catalog.relation(Self.tasksTitle),
            let changes = catalog.relation(Self.changesTitle, besides: tasks)
        else { return nil }
        func part(_ title: String) throws(PostgresError) -> Relation {
            guard let relation = catalog.relation(title, besides: tasks) else { throw transaction.missing(title) }
            return relation
        }
        self.changes = changes
        self.tasks = tasks
        intervals = try part(Self.intervalsTitle)
        crontabs = try part(Self.crontabsTitle)
        clocked = try part(Self.clockedTitle)
        let oddities = [tasks, intervals, crontabs, clocked].compactMap(Self.problem)
        guard oddities.isEmpty else {
            problems += oddities
            return nil
        }
    }

    /// Why a table is not read.
    private static func problem(_ relation: Relation) -> SourceProblem? {
        if let refusal = relation.refusal(advice: "make it the table that django-celery-beat's migrations make") {
            return refusal
        }
        // Casts of other types are their makers' own.
        let foreign = relation.columns.values.filter { $0.origin != .builtIn }.min { $0.name < $1.name }
        return foreign.map { column in
            SourceProblem(
                .wrongType,
                "column \(column.name) of table \(relation.shownName) is \(column.type), which is not what "
                    + "django-celery-beat's migrations make, so the table is not read"
            )
        }
    }

    /// Rows of `DatabaseEntry.Column`.
    func entriesQuery(limit: Int) -> String {
        """
        SELECT \(DatabaseEntry.Column.list(\.expression))
        FROM \(tasks.name) p
        LEFT JOIN \(intervals.name) i ON i.id = p.interval_id
        LEFT JOIN \(crontabs.name) c ON c.id = p.crontab_id
        LEFT JOIN \(clocked.name) k ON k.id = p.clocked_id
        ORDER BY p.name
        LIMIT \(limit)
        """
    }
}
