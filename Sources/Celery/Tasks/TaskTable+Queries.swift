// What is asked of a task table.

extension TaskTable {
    /// Ended tasks from a completion time ($1, Unix seconds) to before another ($2), grouped by bucket, name, state,
    /// duration and exception.
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
        // Of the widest types a number may have 100,000 digits.
        let retries = columns[.retries].map { "least(greatest(t.\($0.quoted), 0), 1000000)::bigint" }
        return """
            SELECT floor(extract(epoch FROM \(end)) / \(TaskRing.bucketSeconds))::bigint,
                \(text(.task)),
                CASE WHEN \(state) IN (\(Self.literals(Self.finalStates))) THEN \(state) ELSE '\(Self.otherState)' END,
                \(start == nil ? "NULL" : ifKnown(index)),
                count(*),
                \(start == nil ? "0" : "coalesce(sum(\(ifKnown(seconds))), 0)"),
                \(retries.map { "coalesce(sum(\($0)), 0)" } ?? "0"),
                left(\(exception), 200)
            FROM \(from(with: [.error]))
            WHERE t.\(completed.quoted) >= \(bound("$1", completed))
                AND t.\(completed.quoted) < \(bound("$2", completed))
                AND \(hasEnded)
            GROUP BY 1, 2, 3, 4, 8
            LIMIT \(Self.maximumGroups + 1)
            """
    }

    /// Tasks in progress by name and state.
    func unfinishedQuery(_ unfinished: Unfinished) -> String {
        """
        SELECT task, state, count(*)
        FROM (
            SELECT \(text(.task)) AS task, left(\(state), \(Self.maximumWordLength)) AS state
            FROM \(name) AS t WHERE \(unfinished.condition) LIMIT \(Self.maximumUnfinished)
        ) AS unfinished
        GROUP BY 1, 2
        """
    }

    /// The latest start of each of some tasks ($3, $4, ...) from one time ($1, Unix seconds) to another ($2). Of tasks
    /// whose start is not known the end stands in.
    func lastRunsQuery(taskCount: Int) -> String {
        guard let completed = columns[.completed], let task = columns[.task] else { return "SELECT NULL WHERE false" }
        let names = (3..<3 + taskCount).map { "$\($0)" }.joined(separator: ", ")
        func runs(_ column: Relation.Column, as run: Relation.Column) -> String {
            """
            SELECT \(task.text("t.\(task.quoted)")) AS task, coalesce(\(moment(run, of: "t")), \(moment(column, of: "t"))) AS run
            FROM \(name) AS t
            WHERE t.\(column.quoted) >= \(bound("$1", column)) AND t.\(column.quoted) <= \(bound("$2", column))
                AND \(task.text("t.\(task.quoted)")) IN (\(names))
                \(columns[.started] == nil ? "AND \(hasEnded)" : "")
            """
        }
        let all =
            // By its end as well: a row may be written only then.
            columns[.started].map { "\(runs($0, as: $0)) UNION ALL \(runs(completed, as: $0))" }
            ?? runs(completed, as: completed)
        return "SELECT task, extract(epoch FROM max(run)) FROM (\(all)) AS runs GROUP BY 1"
    }

    /// When the first task that is still in the table began.
    var oldestQuery: String {
        "SELECT extract(epoch FROM (\(firstMoment(columns[.started] ?? columns[.completed]))))"
    }

    /// The query for the earliest time in a column; none without rows.
    private func firstMoment(_ column: Relation.Column?) -> String {
        guard let column else { return "SELECT NULL::timestamptz" }
        return """
            SELECT \(moment(column, of: "f")) FROM \(name) AS f
            WHERE f.\(column.quoted) IS NOT NULL ORDER BY f.\(column.quoted) LIMIT 1
            """
    }

    private static let uuid = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

    /// Of some tasks that ended a while ago, and since the other table has any, how many that one has, too; and how many
    /// they are. Nil where a table does not know ids.
    func commonTasksQuery(with other: TaskTable) -> String? {
        guard let id = columns[.id], let otherID = other.columns[.id], let completed = columns[.completed] else {
            return nil
        }
        // An index on the id serves only what is of its type.
        let sameID =
            switch (id.type, otherID.type) {
            case ("uuid", "uuid"): "o.\(otherID.quoted) = recent.id::uuid"
            case (_, "uuid"): "o.\(otherID.quoted) = CASE WHEN recent.id ~* '\(Self.uuid)' THEN recent.id::uuid END"
            default: "\(otherID.text("o.\(otherID.quoted)")) = recent.id"
            }
        let minuteAgo = bound("(extract(epoch FROM now()) - 60)", completed)
        return """
            SELECT count(*) FILTER (
                WHERE EXISTS (SELECT FROM \(other.name) AS o WHERE \(sameID))
            ), count(*)
            FROM (
                SELECT \(id.text("t.\(id.quoted)")) AS id FROM \(name) AS t
                WHERE t.\(completed.quoted) < \(minuteAgo)
                    AND \(moment(completed, of: "t")) >= (\(other.firstMoment(other.columns[.completed])))
                ORDER BY t.\(completed.quoted) DESC LIMIT 20
            ) AS recent
            """
    }
}
