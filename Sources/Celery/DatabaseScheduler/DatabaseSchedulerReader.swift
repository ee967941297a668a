package import Postgres
package import Reading

/// Reads how django-celery-beat's DatabaseScheduler is, from PostgreSQL.
///
/// It never reads `django_celery_beat_periodictasks`: the scans of that table are beat's heartbeat.
package final class DatabaseSchedulerReader: Reader {
    private let client: PostgresClient
    private let isExpected: Bool
    private let maxLoopInterval: () -> Double?
    private var tracker: DatabaseSchedulerTracker
    /// Tables that there are several of.
    private var advice: [String] = []

    /// Entries beyond this number are counted, not read.
    private static let maximumEntries = 20_000
    /// Bytes of names of entries, tasks and queues that are kept; Django lets an entry have 600 characters of them.
    private static let maximumBytes = 8_000_000

    /// - Parameters:
    ///   - maxLoopInterval: seconds of `beat_max_loop_interval`, as far as is known at each reading; 5 where nil.
    ///   - grace: seconds a beat may be late before it counts as dead.
    ///   - isExpected: whether the scheduler is known to be in use, so that missing tables mean a dead beat.
    package init(
        client: PostgresClient,
        maxLoopInterval: @escaping () -> Double?,
        grace: Double,
        isExpected: Bool
    ) {
        self.client = client
        self.isExpected = isExpected
        self.maxLoopInterval = maxLoopInterval
        tracker = DatabaseSchedulerTracker(grace: grace)
    }

    /// How beat is now; nil while django-celery-beat's tables do not exist, unless they are expected.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> {
        do throws(PostgresError) {
            var problems: [SourceProblem] = []
            let state = try client.readOnly(until: deadline) { transaction throws(PostgresError) in
                // It may run a second time.
                problems = []
                return try read(transaction, &problems)
            }
            return Reading(of: state, problems: problems, advice: advice)
        } catch {
            tracker.loseSight()
            throw SourceError(error)
        }
    }

    private func read(
        _ transaction: borrowing PostgresTransaction,
        _ problems: inout [SourceProblem]
    ) throws(PostgresError) -> BeatState? {
        let signs = try transaction.query(Self.signsOfLife)
        guard let row = signs.first, let time = row.time(Sign.time) else { return nil }
        let tables = try DatabaseSchedulerTables(transaction, &problems, &advice)
        guard let tables else {
            guard isExpected else { return nil }
            let problem = "no tables of django-celery-beat in the search path; run its migrations, or grant SELECT"
            if problems.isEmpty { problems.append(SourceProblem(.malformed, problem)) }
            let reading = DatabaseSchedulerReading(time: time, canSeeSessions: true)
            var state = tracker.observe(reading, maxLoopInterval: maxLoopInterval())
            state.isNowhere = true
            return state
        }
        var reading = DatabaseSchedulerReading(
            time: time,
            sessions: try transaction.query(Self.sessions).compactMap { row in
                guard let identifier = row.text(SessionColumn.identifier),
                    let queryStart = row.time(SessionColumn.queryStart)
                else { return nil }
                return DatabaseSchedulerReading.Session(
                    identifier: identifier,
                    queryStart: queryStart,
                    query: row.text(SessionColumn.query).flatMap { .init(rawValue: $0) } ?? .other
                )
            },
            canSeeSessions: row.integer(Sign.hiddenSessions) == 0,
            use: try transaction.query(Self.tableUse, [String(tables.changes.identifier)]).first.flatMap { row in
                guard let scans = row.integer(UseColumn.scans), let updates = row.integer(UseColumn.updates),
                    let inserts = row.integer(UseColumn.inserts)
                else { return nil }
                return DatabaseSchedulerReading.TableUse(scans: scans, updates: updates, inserts: inserts)
            },
            isStandby: row.boolean(Sign.isStandby) == true
        )
        var bytes = 0
        try transaction.forEachRow(of: tables.entriesQuery(limit: Self.maximumEntries + 1)) { row in
            reading.entryCount += 1
            bytes += [DatabaseEntry.Column.name, .task, .queue].reduce(0) { $0 + (row.text($1)?.utf8.count ?? 0) }
            guard reading.entryCount <= Self.maximumEntries, bytes <= Self.maximumBytes else { return false }
            if let entry = DatabaseEntry(row) { reading.entries.append(entry) }
            return true
        }
        if reading.entryCount > Self.maximumEntries {
            problems.append(
                SourceProblem(.overLimit, "more than \(Self.maximumEntries) periodic tasks; the rest is not read")
            )
        } else if bytes > Self.maximumBytes {
            problems.append(
                SourceProblem(
                    .overLimit,
                    "periodic tasks with more than \(Self.maximumBytes) bytes of names; the rest is not read"
                )
            )
        }
        for entry in reading.entries where entry.timing == .invalid {
            if let zone = entry.unknownZone {
                problems.append(SourceProblem(timeZone: zone, of: "periodic task \(entry.name)"))
                continue
            }
            problems.append(
                SourceProblem(
                    .malformed,
                    "periodic task \(entry.name) has no schedule that beat can load; fix or delete it"
                )
            )
        }
        if reading.isStandby {
            let problem = "the database is a standby, where beat cannot be seen; give --database.url of the primary"
            problems.append(SourceProblem(.server, problem))
        }
        return tracker.observe(reading, maxLoopInterval: maxLoopInterval())
    }

    private enum Sign: Int, SelectedColumn {
        case time
        /// How many sessions may not be looked into.
        case hiddenSessions
        case isStandby

        var expression: String {
            switch self {
            case .time: "extract(epoch FROM clock_timestamp())"
            case .hiddenSessions:
                """
                (
                    SELECT count(*) FROM pg_catalog.pg_stat_activity
                    WHERE datname = current_database()
                        AND query IN ('<insufficient privilege>', '<command string not enabled>')
                )
                """
            case .isStandby: "pg_is_in_recovery()"
            }
        }
    }

    private static let signsOfLife = """
        SELECT \(Sign.list(\.expression))
        """

    private enum UseColumn: Int, SelectedColumn {
        case scans, updates, inserts

        var expression: String {
            switch self {
            case .scans: "coalesce(seq_scan, 0) + coalesce(idx_scan, 0)"
            case .updates: "n_tup_upd"
            case .inserts: "n_tup_ins"
            }
        }
    }

    /// What was done to the table that every tick reads.
    private static let tableUse = """
        SELECT \(UseColumn.list(\.expression))
        FROM pg_catalog.pg_stat_user_tables
        WHERE relid = $1::oid
        """

    private enum SessionColumn: Int, SelectedColumn {
        case identifier, queryStart, query

        var expression: String {
            switch self {
            case .identifier: "pid || ' ' || backend_start"
            case .queryStart: "extract(epoch FROM query_start)"
            case .query:
                """
                CASE
                    WHEN query LIKE 'SELECT "django\\_celery\\_beat\\_periodictasks"%' AND query NOT LIKE '%FOR UPDATE%'
                        THEN 'tick'
                    WHEN query LIKE '%"django\\_celery\\_beat\\_%' THEN 'schedule'
                    WHEN query ~ '^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)' THEN 'transaction'
                    ELSE 'other'
                END
                """
            }
        }
    }

    /// Sessions other than exporters', and what kind of query was their last. Whoever changes the schedule sends the same
    /// as a tick, but locks the row. Source: django_celery_beat/schedulers.py, `schedule_changed`.
    private static let sessions = """
        SELECT \(SessionColumn.list(\.expression))
        FROM pg_catalog.pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
            AND application_name <> current_setting('application_name')
        LIMIT 10000
        """
}
