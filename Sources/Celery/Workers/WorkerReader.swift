package import Postgres

/// Reads the tables `worker_status` and `queue_stats`, where there are any, each in a transaction of its own.
package final class WorkerReader {
    private let client: PostgresClient
    private let maximumWorkers: Int
    private var tables: [String: Table] = [:]
    private var anomaliesOfLook: [Anomaly] = []
    private var collectionsUntilNextLook = 0

    /// What keeps the depths of queues from being read cheaply; nil where nothing is missing.
    package private(set) var advice: String?

    private struct Table {
        var types: [String: String] = [:]
        let isReadable: Bool
        let role: String
        let estimatedRows: Double
        /// Columns with which indexes begin.
        var indexed: Set<String> = []
    }

    private static let maximumQueues = 1000
    /// Depths older than this many seconds are no longer told.
    private static let queueAge = 900
    private static let times = ["timestamp with time zone", "timestamp without time zone"]
    private static let numbers = ["smallint", "integer", "bigint"]

    /// - Parameter maximumWorkers: workers beyond this number are left out.
    package init(client: PostgresClient, maximumWorkers: Int) {
        self.client = client
        self.maximumWorkers = maximumWorkers
    }

    /// What the tables say; nil while there is none.
    package func read() throws(PostgresError) -> (state: WorkerState?, anomalies: [Anomaly]) {
        if collectionsUntilNextLook == 0 { try look() }
        if collectionsUntilNextLook > 0 { collectionsUntilNextLook -= 1 }
        var anomalies = anomaliesOfLook
        let workers = try read("worker_status", needs: ["worker_name", "status"], workersQuery, &anomalies)
        let queues =
            hasExpensiveQueues
            ? nil : try read("queue_stats", needs: ["queue_name", "depth", "recorded_at"], queuesQuery, &anomalies)
        guard workers != nil || queues != nil else { return (nil, anomalies) }
        if let workers, workers.count > maximumWorkers {
            let problem = "worker_status has more than \(maximumWorkers) workers; those heard of last are told"
            anomalies.append(Anomaly(.overLimit, problem))
        }
        let state = WorkerState(
            workers: (workers ?? []).prefix(maximumWorkers).compactMap(Self.worker).sorted { $0.name < $1.name },
            queues: (queues ?? []).compactMap(Self.queue)
        )
        return (state, anomalies)
    }

    private func look() throws(PostgresError) {
        tables = [:]
        anomaliesOfLook = []
        let rows = try client.readOnly { transaction throws(PostgresError) in try transaction.query(Self.columns) }
        for row in rows {
            guard let name = row.text(0), let column = row.text(1), let type = row.text(2) else { continue }
            let table = Table(
                isReadable: row.boolean(3) ?? false,
                role: row.text(4) ?? "the role",
                estimatedRows: row.number(6) ?? 0
            )
            tables[name, default: table].types[column] = type
            if row.boolean(5) == true { tables[name]?.indexed.insert(column) }
        }
        for (name, table) in tables where !table.isReadable {
            let problem = "table \(name) may not be read; run: GRANT SELECT ON \(name) TO \(table.role)"
            anomaliesOfLook.append(Anomaly(.permission, problem))
        }
        for (name, column) in [("worker_status", "last_heartbeat"), ("queue_stats", "recorded_at")] {
            guard let type = tables[name]?.types[column], !Self.times.contains(type) else { continue }
            anomaliesOfLook.append(
                Anomaly(.wrongType, "column \(column) of table \(name) is \(type), which is no time")
            )
            tables[name]?.types[column] = nil
        }
        advice =
            hasExpensiveQueues
            ? "queue_stats is large and has no index that begins with queue_name, so depths are not read; run: "
                + "CREATE INDEX CONCURRENTLY queue_stats_queue_name_recorded_at ON queue_stats (queue_name, recorded_at)"
            : nil
        let isComplete = !tables.isEmpty && tables.values.allSatisfy(\.isReadable)
        collectionsUntilNextLook = isComplete ? TaskCatalog.collectionsBetweenLooks : 0
    }

    /// Whether each collection would read all of a long history.
    private var hasExpensiveQueues: Bool {
        guard let table = tables["queue_stats"] else { return false }
        return !table.indexed.contains("queue_name") && table.estimatedRows >= TaskTable.maximumRowsWithoutIndex
    }

    /// The rows of a query on one table; nil where there is no such table, or it cannot be read now.
    private func read(
        _ name: String,
        needs columns: [String],
        _ query: (Table) -> String,
        _ anomalies: inout [Anomaly]
    ) throws(PostgresError) -> [PostgresRow]? {
        guard let table = tables[name], table.isReadable else { return nil }
        guard columns.allSatisfy({ table.types[$0] != nil }) else {
            anomalies.append(
                Anomaly(.malformed, "table \(name) has not all the columns \(columns.joined(separator: ", "))")
            )
            collectionsUntilNextLook = 0
            return nil
        }
        do {
            return try client.readOnly { transaction throws(PostgresError) in try transaction.query(query(table)) }
        } catch {
            collectionsUntilNextLook = 0
            guard let anomaly = Anomaly(error, readingTable: name) else { throw error }
            anomalies.append(anomaly)
            return nil
        }
    }

    // MARK: Queries

    /// A column of one of some types, or NULL.
    private static func column(_ name: String, _ table: Table, _ types: [String]) -> String {
        table.types[name].map(types.contains) == true ? name : "NULL"
    }

    /// A time as Unix seconds; times without a zone are UTC, as Python's `utcnow` writes them.
    private static func seconds(_ name: String, _ table: Table, of alias: String = "") -> String {
        guard let type = table.types[name], times.contains(type) else { return "NULL" }
        let value = alias + name
        let moment = type == "timestamp without time zone" ? "\(value) AT TIME ZONE 'UTC'" : value
        return "CASE WHEN isfinite(\(value)) THEN extract(epoch FROM \(moment)) END"
    }

    private func workersQuery(_ table: Table) -> String {
        let heartbeat = Self.column("last_heartbeat", table, Self.times)
        return """
            SELECT left(worker_name::text, 200), status::text, \(Self.seconds("last_heartbeat", table)),
                \(Self.column("active_tasks", table, Self.numbers)), \(Self.column("processed_tasks", table, Self.numbers)),
                \(Self.column("failed_tasks", table, Self.numbers))
            FROM worker_status WHERE worker_name IS NOT NULL
            ORDER BY \(heartbeat == "NULL" ? "" : "last_heartbeat DESC NULLS LAST, ")worker_name
            LIMIT \(maximumWorkers + 1)
            """
    }

    /// The latest depth of each queue. It goes from name to name by the index, not through all of the history.
    private func queuesQuery(_ table: Table) -> String {
        """
        WITH RECURSIVE names AS (
            (SELECT queue_name FROM queue_stats WHERE queue_name IS NOT NULL ORDER BY queue_name LIMIT 1)
            UNION ALL
            SELECT (
                SELECT q.queue_name FROM queue_stats AS q WHERE q.queue_name > names.queue_name ORDER BY q.queue_name LIMIT 1
            )
            FROM names WHERE names.queue_name IS NOT NULL
        )
        SELECT left(bounded.queue_name::text, 200), latest.depth, \(Self.seconds("recorded_at", table, of: "latest."))
        FROM (SELECT queue_name FROM names WHERE queue_name IS NOT NULL LIMIT \(Self.maximumQueues)) AS bounded
        CROSS JOIN LATERAL (
            SELECT q.depth, q.recorded_at FROM queue_stats AS q
            WHERE q.queue_name = bounded.queue_name AND q.recorded_at > now() - interval '\(Self.queueAge) seconds'
            ORDER BY q.recorded_at DESC LIMIT 1
        ) AS latest
        """
    }

    private static func worker(_ row: PostgresRow) -> WorkerStatus? {
        row.text(0).map { name in
            WorkerStatus(
                name: name,
                isOnline: row.text(1)?.uppercased() == "ONLINE",
                heartbeat: row.number(2),
                activeTasks: row.integer(3).map { Int($0) },
                processedTasks: row.integer(4).map { Int($0) },
                failedTasks: row.integer(5).map { Int($0) }
            )
        }
    }

    private static func queue(_ row: PostgresRow) -> RecordedQueue? {
        guard let name = row.text(0), let depth = row.integer(1), let recorded = row.number(2) else { return nil }
        return RecordedQueue(name: name, depth: Int(depth), recorded: recorded)
    }

    /// Columns of the tables, and whether these may be read.
    private static let columns = """
        SELECT names.name, a.attname, format_type(a.atttypid, NULL), has_any_column_privilege(a.attrelid, 'SELECT'),
            quote_ident(current_user),
            EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indkey[0] = a.attnum AND indisvalid),
            greatest(c.reltuples, 0)
        FROM (VALUES ('worker_status'), ('queue_stats')) AS names (name)
        JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(names.name)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE NOT a.attisdropped
        """
}
