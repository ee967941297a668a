package import Postgres
package import Reading
internal import System

/// Reads the tables `worker_status` and `queue_stats`, where there are any, each in a transaction of its own.
package final class WorkerReader: Reader {
    private let client: PostgresClient
    private let maximumWorkers: Int
    private var relations: [String: Relation] = [:]
    private var problemsOfLook: [SourceProblem] = []
    private var doubles: [String] = []
    private var collectionsUntilNextLook = 0

    /// What keeps the depths of queues from being read cheaply, and tables that there are several of.
    private var advice: [String] {
        doubles
            + (hasExpensiveQueues
                ? [
                    "queue_stats is large and has no index that begins with queue_name, so depths are not read; run: "
                        + "CREATE INDEX CONCURRENTLY queue_stats_queue_name_recorded_at ON queue_stats (queue_name, recorded_at)"
                ] : [])
    }

    private static let workers = RelationCatalog.Wanted(
        "worker_status",
        columns: ["worker_name", "status", "last_heartbeat", "active_tasks", "processed_tasks", "failed_tasks"]
    )
    private static let queues = RelationCatalog.Wanted("queue_stats", columns: ["queue_name", "depth", "recorded_at"])

    private static let maximumQueues = 1000
    /// Depths older than this many seconds are no longer told.
    private static let queueAge = 900
    private static let times = ["timestamp with time zone", "timestamp without time zone"]

    /// - Parameter maximumWorkers: workers beyond this number are left out.
    package init(client: PostgresClient, maximumWorkers: Int) {
        self.client = client
        self.maximumWorkers = maximumWorkers
    }

    /// What the tables say; nil while there is none.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<WorkerState> {
        do throws(PostgresError) {
            var problems: [SourceProblem] = []
            let state = try readTables(until: deadline, &problems)
            return Reading(state, problems: problems, advice: advice)
        } catch { throw SourceError(error) }
    }

    private func readTables(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(PostgresError) -> WorkerState? {
        if collectionsUntilNextLook == 0 { try look(until: deadline) }
        if collectionsUntilNextLook > 0 { collectionsUntilNextLook -= 1 }
        problems = problemsOfLook
        let needed = ["worker_name", "status"]
        // One that is slow leaves the other its time.
        let half = deadline.share(amongst: 2)
        let workers = try read("worker_status", needs: needed, workersQuery, until: half, &problems)
        let queues =
            hasExpensiveQueues
            ? nil
            : try read(
                "queue_stats",
                needs: ["queue_name", "depth", "recorded_at"],
                queuesQuery,
                until: deadline,
                &problems
            )
        guard workers != nil || queues != nil else { return nil }
        if let workers, workers.count > maximumWorkers {
            let problem = "worker_status has more than \(maximumWorkers) workers; those heard of last are told"
            problems.append(SourceProblem(.overLimit, problem))
        }
        return WorkerState(
            workers: (workers ?? []).prefix(maximumWorkers).compactMap(Self.worker).sorted { $0.name < $1.name },
            queues: (queues ?? []).prefix(Self.maximumQueues).compactMap(Self.queue)
        )
    }

    private func look(until deadline: ContinuousClock.Instant) throws(PostgresError) {
        relations = [:]
        problemsOfLook = []
        let catalog = try client.readOnly(until: deadline) { transaction throws(PostgresError) in
            try RelationCatalog([Self.workers, Self.queues], transaction)
        }
        doubles = catalog.doubles()
        var isComplete = true
        for (name, time) in [("worker_status", "last_heartbeat"), ("queue_stats", "recorded_at")] {
            guard let relation = catalog.relation(name) else { continue }
            if let grant = relation.missingGrant {
                problemsOfLook.append(SourceProblem(.permission, "table \(name) may not be read; run: \(grant)"))
                isComplete = false
            } else if let refusal = relation.refusal(advice: "make it a plain table") {
                problemsOfLook.append(refusal)
            } else {
                relations[name] = relation
                guard let column = relation.columns[time], !Self.isTime(column) else { continue }
                problemsOfLook.append(
                    SourceProblem(.wrongType, "column \(time) of table \(name) is \(column.type), which is no time")
                )
            }
        }
        isComplete = isComplete && !relations.isEmpty
        collectionsUntilNextLook = isComplete ? TaskCatalog.collectionsBetweenLooks : 0
    }

    /// Whether each collection would read all of a long history.
    private var hasExpensiveQueues: Bool {
        guard let relation = relations["queue_stats"] else { return false }
        return relation.columns["queue_name"]?.isIndexed != true
            && relation.estimatedRows >= TaskTable.maximumRowsWithoutIndex
    }

    /// The rows of a query on one table; nil where there is no such table, or it cannot be read now.
    private func read(
        _ name: String,
        needs columns: [String],
        _ query: (Relation) -> String?,
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(PostgresError) -> [PostgresRow]? {
        guard let relation = relations[name] else { return nil }
        guard let query = query(relation) else {
            problems.append(
                SourceProblem(.malformed, "table \(name) has not all the columns \(columns.joined(separator: ", "))")
            )
            collectionsUntilNextLook = 0
            return nil
        }
        do {
            return try client.readOnly(until: deadline) { transaction throws(PostgresError) in
                try relation.verify(transaction)
                return try transaction.query(query)
            }
        } catch {
            collectionsUntilNextLook = 0
            guard let problem = SourceProblem(error, readingTable: name) else { throw error }
            problems.append(problem)
            return nil
        }
    }

    // MARK: Queries

    private static func isTime(_ column: Relation.Column) -> Bool {
        column.origin == .builtIn && times.contains(column.type)
    }

    /// A whole number of a column, or NULL. Of the widest types it may have 100,000 digits.
    private static func number(_ column: Relation.Column?, of alias: String) -> String {
        guard let column, TaskTable.isNumber(column) else { return "NULL" }
        let value = "\(alias).\(column.quoted)"
        return "(CASE WHEN \(value) BETWEEN -1e15 AND 1e15 THEN \(value)::bigint END)"
    }

    /// A time as Unix seconds; times without a zone are UTC, as Python's `utcnow` writes them.
    private static func seconds(_ column: Relation.Column?, of alias: String) -> String {
        guard let column, isTime(column) else { return "NULL" }
        let value = "\(alias).\(column.quoted)"
        let moment = column.type == "timestamp without time zone" ? "\(value) AT TIME ZONE 'UTC'" : value
        return "CASE WHEN isfinite(\(value)) THEN extract(epoch FROM \(moment)) END"
    }

    private enum WorkerColumn: Int, SelectedColumn {
        case name, status, heartbeat, activeTasks, processedTasks, failedTasks
    }

    private func workersQuery(_ table: Relation) -> String? {
        guard let name = table.columns["worker_name"], let status = table.columns["status"] else { return nil }
        let heartbeat = table.columns["last_heartbeat"].flatMap { Self.isTime($0) ? $0 : nil }
        let text = name.text("w.worker_name")
        let list = WorkerColumn.list { column in
            switch column {
            case .name: "left(\(text), 200)"
            case .status: "left(\(status.text("w.status")), 50)"
            case .heartbeat: Self.seconds(heartbeat, of: "w")
            case .activeTasks: Self.number(table.columns["active_tasks"], of: "w")
            case .processedTasks: Self.number(table.columns["processed_tasks"], of: "w")
            case .failedTasks: Self.number(table.columns["failed_tasks"], of: "w")
            }
        }
        return """
            SELECT \(list)
            FROM \(table.name) AS w WHERE w.worker_name IS NOT NULL
            ORDER BY \(heartbeat == nil ? "" : "w.last_heartbeat DESC NULLS LAST, ")\(text)
            LIMIT \(maximumWorkers + 1)
            """
    }

    private enum QueueColumn: Int, SelectedColumn { case name, depth, recorded }

    /// The latest depth of each queue. It goes from name to name by the index, not through all of the history.
    private func queuesQuery(_ table: Relation) -> String? {
        guard let name = table.columns["queue_name"], let depth = table.columns["depth"],
            let recorded = table.columns["recorded_at"], Self.isTime(recorded)
        else { return nil }
        // Whose type is of others is compared as text alone.
        let isOwn = name.origin == .other
        let compared = { (alias: String) in isOwn ? name.text("\(alias).queue_name") : "\(alias).queue_name" }
        let text = isOwn ? "bounded.queue_name" : name.text("bounded.queue_name")
        return """
            WITH RECURSIVE names (queue_name) AS (
                (SELECT \(compared("q")) FROM \(table.name) AS q WHERE q.queue_name IS NOT NULL ORDER BY 1 LIMIT 1)
                UNION ALL
                SELECT (
                    SELECT \(compared("q")) FROM \(table.name) AS q WHERE \(compared("q")) > names.queue_name ORDER BY 1 LIMIT 1
                )
                FROM names WHERE names.queue_name IS NOT NULL
            )
            SELECT \(QueueColumn.list { column in
                switch column {
                case .name: "left(\(text), 200)"
                case .depth: "latest.depth"
                case .recorded: Self.seconds(recorded, of: "latest")
                }
            })
            FROM (SELECT queue_name FROM names WHERE queue_name IS NOT NULL LIMIT \(Self.maximumQueues)) AS bounded
            CROSS JOIN LATERAL (
                SELECT \(Self.number(depth, of: "q")) AS depth, q.recorded_at FROM \(table.name) AS q
                WHERE \(compared("q")) = bounded.queue_name AND q.recorded_at > now() - interval '\(Self.queueAge) seconds'
                ORDER BY q.recorded_at DESC LIMIT 1
            ) AS latest
            """
    }

    private static func worker(_ row: PostgresRow) -> WorkerStatus? {
        row.text(WorkerColumn.name).map { name in
            WorkerStatus(
                name: name,
                isOnline: row.text(WorkerColumn.status)?.uppercased() == "ONLINE",
                heartbeat: row.time(WorkerColumn.heartbeat),
                activeTasks: row.integer(WorkerColumn.activeTasks).map { Int($0) },
                processedTasks: row.integer(WorkerColumn.processedTasks).map { Int($0) },
                failedTasks: row.integer(WorkerColumn.failedTasks).map { Int($0) }
            )
        }
    }

    private static func queue(_ row: PostgresRow) -> RecordedQueue? {
        guard let name = row.text(QueueColumn.name), let depth = row.integer(QueueColumn.depth),
            let recorded = row.time(QueueColumn.recorded)
        else { return nil }
        return RecordedQueue(name: name, depth: Int(depth), recorded: recorded)
    }
}
