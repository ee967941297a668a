// What is asked of a task table.

extension TaskTable {
    /// Ended tasks from a completion time ($1, Unix seconds) on, grouped by bucket, name, state, duration and exception.
    ///
    /// A duration falls into the first bucket whose bound is not below it. `width_bucket` counts the bounds not above a
    /// number, so both are negated.
    func endedQuery(durationBounds: [Double]) -> String {
        guard let completed = columns[.completed], let end = moment(.completed) else { return "SELECT WHERE false" }
        let start = moment(.started)
        let seconds = "greatest(extract(epoch FROM \(end) - \(start ?? end)), 0)::float8"
        let bounds = durationBounds.reversed().map { "-\($0)" }.joined(separator: ",")
        let index = "\(durationBounds.count) - width_bucket(-\(seconds), '{\(bounds)}'::float8[])"
        // PostgreSQL has infinite times, which cannot be subtracted; NULL falls through as well.
        func ifKnown(_ expression: String) -> String { "CASE WHEN isfinite(\(start ?? "")) THEN \(expression) END" }
        let retries = columns[.retries].map { "least(greatest(t.\($0.quoted), 0), 1000000)" }
        return """
            SELECT floor(extract(epoch FROM \(end)) / \(TaskRing.bucketSeconds))::bigint,
                \(text(.task)),
                CASE WHEN \(state) IN (\(Self.literals(Self.finalStates))) THEN \(state) ELSE 'OTHER' END,
                \(start == nil ? "NULL" : ifKnown(index)),
                count(*),
                \(start == nil ? "0" : "coalesce(sum(\(ifKnown(seconds))), 0)"),
                \(retries.map { "coalesce(sum(\($0)), 0)" } ?? "0"),
                left(\(exception), 200)
            FROM \(from(with: [.error]))
            WHERE t.\(completed.quoted) >= \(bound("$1", completed))
                AND t.\(completed.quoted) < \(bound("(extract(epoch FROM now()) + \(TaskRing.maximumFuture))", completed))
                AND NOT \(isState(amongst: Self.unfinishedStates))
            GROUP BY 1, 2, 3, 4, 8
            LIMIT \(Self.maximumGroups)
            """
    }

    /// Tasks in progress by name and state.
    var unfinishedQuery: String {
        """
        SELECT task, state, count(*)
        FROM (
            SELECT \(text(.task)) AS task, \(state) AS state
            FROM \(name) AS t WHERE \(isState(amongst: Self.unfinishedStates)) LIMIT \(Self.maximumGroups)
        ) AS unfinished
        GROUP BY 1, 2
        """
    }

    /// The latest start of each of some tasks ($3, $4, ...) from one time ($1, Unix seconds) to another ($2). Of tasks
    /// whose start is not known the end stands in.
    func lastRunsQuery(taskCount: Int) -> String {
        guard let completed = columns[.completed], let task = columns[.task] else { return "SELECT NULL WHERE false" }
        let names = (3..<3 + taskCount).map { "$\($0)" }.joined(separator: ", ")
        func runs(_ column: Column, _ condition: String = "true") -> String {
            """
            SELECT t.\(task.quoted)::text AS task, \(moment(column, of: "t")) AS run FROM \(name) AS t
            WHERE t.\(column.quoted) >= \(bound("$1", column)) AND t.\(column.quoted) <= \(bound("$2", column))
                AND t.\(task.quoted)::text IN (\(names)) AND \(condition)
            """
        }
        let all =
            columns[.started].map { "\(runs($0)) UNION ALL \(runs(completed, "t.\($0.quoted) IS NULL"))" }
            ?? runs(completed, "NOT \(isState(amongst: Self.unfinishedStates))")
        return "SELECT task, extract(epoch FROM max(run)) FROM (\(all)) AS runs GROUP BY 1"
    }

    /// When the first task that is still in the table began.
    var oldestQuery: String {
        let column = columns[.started] == nil ? TaskColumn.completed : .started
        return "SELECT extract(epoch FROM min(\(moment(column) ?? "NULL"))) FROM \(name) AS t"
    }

    /// Of some tasks that ended a while ago, how many another table has, too; and how many they are.
    func commonTasksQuery(with other: TaskTable) -> String? {
        guard let id = columns[.id], let otherID = other.columns[.id], let completed = columns[.completed] else {
            return nil
        }
        let minuteAgo = bound("(extract(epoch FROM now()) - 60)", completed)
        return """
            SELECT count(*) FILTER (
                WHERE EXISTS (SELECT FROM \(other.name) AS o WHERE o.\(otherID.quoted)::text = recent.id)
            ), count(*)
            FROM (
                SELECT t.\(id.quoted)::text AS id FROM \(name) AS t WHERE t.\(completed.quoted) < \(minuteAgo)
                ORDER BY t.\(completed.quoted) DESC LIMIT 20
            ) AS recent
            """
    }
}
