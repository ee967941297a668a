internal import Postgres

/// The table `task_info`, as the recorder and others before it write it: one row a task, updated as the task goes on.
/// `task_time` is its start, `completed_time` its end.
struct TaskInfoTable: Equatable {
    static let name = "task_info"
    static let indexStatement = "CREATE INDEX CONCURRENTLY task_info_completed_time ON task_info (completed_time)"
    static let startIndexStatement = "CREATE INDEX CONCURRENTLY task_info_task_time ON task_info (task_time)"

    /// States of Celery in which a task has not ended. Source: celery/states.py, and PROGRESS by convention.
    static let unfinishedStates = ["PENDING", "RECEIVED", "STARTED", "PROGRESS", "RETRY"]
    /// States in which it has; anything else that has a completion time counts as OTHER.
    static let finalStates = ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"]
    /// Groups in one result, which bounds its size.
    static let maximumGroups = 100_000

    let hasStartTime: Bool
    let hasRetryCount: Bool
    /// Whether an index leads with the completion time.
    let isIndexed: Bool
    /// Whether one leads with the start.
    let isStartIndexed: Bool

    /// Columns of the table in the search path, and whether an index leads with the column.
    static let description = """
        SELECT attname, EXISTS (
            SELECT FROM pg_catalog.pg_index
            WHERE indrelid = attrelid AND indkey[0] = attnum AND indisvalid AND indpred IS NULL
        )
        FROM pg_catalog.pg_attribute
        WHERE attrelid = pg_catalog.to_regclass('\(name)') AND attnum > 0 AND NOT attisdropped
        """

    enum Finding: Equatable {
        case absent
        /// The columns that are missing, without which nothing can be said.
        case unusable(missing: [String])
        case usable(TaskInfoTable)
    }

    /// - Parameter columns: names, each with whether an index leads with it.
    static func find(in columns: [String: Bool]) -> Finding {
        if columns.isEmpty { return .absent }
        let missing = ["task_name", "status", "completed_time"].filter { columns[$0] == nil }
        guard missing.isEmpty else { return .unusable(missing: missing) }
        return .usable(
            TaskInfoTable(
                hasStartTime: columns["task_time"] != nil,
                hasRetryCount: columns["retry_count"] != nil,
                isIndexed: columns["completed_time"] == true,
                isStartIndexed: columns["task_time"] == true
            )
        )
    }

    /// The table as it is in the database; nil, and an anomaly, where it cannot be used.
    static func find(
        _ transaction: borrowing PostgresTransaction,
        _ anomalies: inout [Anomaly]
    ) throws(PostgresError) -> TaskInfoTable? {
        let rows = try transaction.query(description)
        let columns = rows.compactMap { row in row.text(0).map { ($0, row.boolean(1) ?? false) } }
        switch find(in: Dictionary(columns) { first, _ in first }) {
        case .absent:
            let problem = "no table \(name) in the search path; set up recorder/celery_signals.py, or grant SELECT"
            anomalies.append(Anomaly(.malformed, problem))
            return nil
        case .unusable(let missing):
            let columns = missing.joined(separator: ", ")
            anomalies.append(Anomaly(.malformed, "table \(name) has no column \(columns)"))
            return nil
        case .usable(let table):
            return table
        }
    }

    /// Ended tasks from a completion time ($1, Unix seconds) on, grouped by bucket, name, state and duration.
    ///
    /// A duration falls into the first bucket whose bound is not below it. `width_bucket` counts the bounds not above a
    /// number, so both are negated.
    func endedQuery(durationBounds: [Double]) -> String {
        let seconds = "greatest(extract(epoch FROM completed_time - task_time), 0)::float8"
        let bounds = durationBounds.reversed().map { "-\($0)" }.joined(separator: ",")
        let index = "\(durationBounds.count) - width_bucket(-\(seconds), '{\(bounds)}'::float8[])"
        // PostgreSQL has infinite times, which cannot be subtracted; NULL falls through as well.
        func ifKnown(_ expression: String) -> String { "CASE WHEN isfinite(task_time) THEN \(expression) END" }
        return """
            SELECT floor(extract(epoch FROM completed_time) / \(TaskRing.bucketSeconds))::bigint,
                left(task_name, 200),
                CASE WHEN status IN (\(Self.literals(Self.finalStates))) THEN status ELSE 'OTHER' END,
                \(hasStartTime ? ifKnown(index) : "NULL"),
                count(*),
                \(hasStartTime ? "coalesce(sum(\(ifKnown(seconds))), 0)" : "0"),
                \(hasRetryCount ? "coalesce(sum(least(greatest(retry_count, 0), 1000000)), 0)" : "0")
            FROM \(Self.name)
            WHERE completed_time >= to_timestamp($1)
                AND completed_time < now() + interval '\(TaskRing.maximumFuture) seconds'
                AND status NOT IN (\(Self.literals(Self.unfinishedStates)))
            GROUP BY 1, 2, 3, 4
            LIMIT \(Self.maximumGroups)
            """
    }

    /// Tasks in progress by name and state.
    static let unfinishedQuery = """
        SELECT left(task_name, 200), status, count(*)
        FROM (
            SELECT task_name, status FROM \(name) WHERE status IN (\(literals(unfinishedStates))) LIMIT \(maximumGroups)
        ) AS unfinished
        GROUP BY 1, 2
        """

    /// The latest start of each of some tasks ($3, $4, ...) from one time ($1, Unix seconds) to another ($2). Of tasks
    /// whose start is not known the end stands in.
    func lastRunsQuery(taskCount: Int) -> String {
        let names = (3..<3 + taskCount).map { "$\($0)" }.joined(separator: ", ")
        func runs(_ column: String, _ condition: String = "true") -> String {
            """
            SELECT task_name, \(column) AS run FROM \(Self.name)
            WHERE \(column) >= to_timestamp($1) AND \(column) <= to_timestamp($2) AND task_name IN (\(names)) AND \(condition)
            """
        }
        let ended = runs("completed_time", hasStartTime ? "task_time IS NULL" : "true")
        let all = hasStartTime ? "\(runs("task_time")) UNION ALL \(ended)" : ended
        return "SELECT task_name, extract(epoch FROM max(run)) FROM (\(all)) AS runs GROUP BY 1"
    }

    /// When the first task that is still in the table began.
    var oldestQuery: String {
        "SELECT extract(epoch FROM min(\(hasStartTime ? "task_time" : "completed_time"))) FROM \(Self.name)"
    }

    private static func literals(_ values: [String]) -> String {
        values.map { "'\($0)'" }.joined(separator: ", ")
    }
}
