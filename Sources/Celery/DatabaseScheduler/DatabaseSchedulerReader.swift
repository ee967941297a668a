package import Postgres

/// Reads how django-celery-beat's DatabaseScheduler is, from PostgreSQL.
///
/// It never reads `django_celery_beat_periodictasks`: the scans of that table are beat's heartbeat.
package final class DatabaseSchedulerReader {
    private let client: PostgresClient
    private let isExpected: Bool
    private var tracker: DatabaseSchedulerTracker
    /// Whether the last reading found django-celery-beat's tables.
    package private(set) var hasTables = false

    /// Entries beyond this number are counted, not read.
    private static let maximumEntries = 20_000

    /// - Parameters:
    ///   - maxLoopInterval: seconds of `beat_max_loop_interval`; 5 where nil.
    ///   - grace: seconds a beat may be late before it counts as dead.
    ///   - isExpected: whether the scheduler is known to be in use, so that missing tables mean a dead beat.
    package init(client: PostgresClient, maxLoopInterval: Double?, grace: Double, isExpected: Bool) {
        self.client = client
        self.isExpected = isExpected
        tracker = DatabaseSchedulerTracker(maxLoopInterval: maxLoopInterval, grace: grace)
    }

    /// How beat is now; nil while django-celery-beat's tables do not exist, unless they are expected.
    package func read() throws(PostgresError) -> (state: BeatState?, anomalies: [Anomaly]) {
        do {
            return try client.readOnly { transaction throws(PostgresError) in try read(transaction) }
        } catch {
            tracker.loseSight()
            throw error
        }
    }

    private func read(
        _ transaction: borrowing PostgresTransaction
    ) throws(PostgresError) -> (state: BeatState?, anomalies: [Anomaly]) {
        let signs = try transaction.query(Self.signsOfLife)
        guard let row = signs.first, let time = row.number(0) else { return (nil, []) }
        hasTables = row.boolean(1) == true
        guard hasTables else {
            guard isExpected else { return (nil, []) }
            let problem = "no tables of django-celery-beat in the search path; run its migrations, or grant SELECT"
            let reading = DatabaseSchedulerReading(time: time, canSeeSessions: true)
            return (tracker.observe(reading), [Anomaly(.malformed, problem)])
        }
        var reading = DatabaseSchedulerReading(
            time: time,
            sessions: try transaction.query(Self.sessions).compactMap { row in
                guard let identifier = row.text(0), let queryStart = row.number(1) else { return nil }
                return DatabaseSchedulerReading.Session(
                    identifier: identifier,
                    queryStart: queryStart,
                    query: row.text(2).flatMap { .init(rawValue: $0) } ?? .other
                )
            },
            canSeeSessions: row.integer(3) == 0,
            scans: row.integer(2)
        )
        let rows = try transaction.query(DatabaseEntry.query + " LIMIT \(Self.maximumEntries + 1)")
        reading.entries = rows.prefix(Self.maximumEntries).compactMap { DatabaseEntry($0) }
        reading.entryCount = rows.count
        var anomalies: [Anomaly] = []
        if rows.count > Self.maximumEntries {
            anomalies.append(
                Anomaly(.overLimit, "more than \(Self.maximumEntries) periodic tasks; the rest is not read")
            )
        }
        for entry in reading.entries where entry.timing == .invalid {
            anomalies.append(
                Anomaly(
                    .malformed,
                    "periodic task \(entry.name) has no schedule that beat can load; mend or delete it"
                )
            )
        }
        var state = tracker.observe(reading)
        if row.boolean(4) == true {
            // Beat's sessions and scans are on the primary.
            (state.isUp, state.heartbeat, state.deadline, state.instances) = (nil, nil, nil, nil)
            state.isPreliminary = false
            let problem = "the database is a standby, where beat cannot be seen; give --database.url of the primary"
            anomalies.append(Anomaly(.server, problem))
        }
        return (state, anomalies)
    }

    /// The clock; whether the tables exist; scans of the table that every tick reads; sessions that may not be looked into.
    private static let signsOfLife = """
        SELECT extract(epoch FROM clock_timestamp()),
            to_regclass('django_celery_beat_periodictasks') IS NOT NULL
                AND to_regclass('django_celery_beat_periodictask') IS NOT NULL,
            (
                SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_catalog.pg_stat_user_tables
                WHERE relid = to_regclass('django_celery_beat_periodictasks')
            ),
            (
                SELECT count(*) FROM pg_catalog.pg_stat_activity
                WHERE datname = current_database() AND query IN ('<insufficient privilege>', '<command string not enabled>')
            ),
            pg_is_in_recovery()
        """

    /// Sessions other than exporters', and what kind of query was their last. Source: django_celery_beat/schedulers.py, `schedule_changed`.
    private static let sessions = """
        SELECT pid || ' ' || backend_start,
            extract(epoch FROM query_start),
            CASE
                WHEN query LIKE 'SELECT "django\\_celery\\_beat\\_periodictasks"%' THEN 'tick'
                WHEN query LIKE '%"django\\_celery\\_beat\\_%' THEN 'schedule'
                WHEN query ~ '^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)' THEN 'transaction'
                ELSE 'other'
            END
        FROM pg_catalog.pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
            AND application_name <> current_setting('application_name')
        LIMIT 10000
        """
}
