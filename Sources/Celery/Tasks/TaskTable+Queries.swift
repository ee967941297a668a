internal import Postgres

// What is asked of a task table.

extension TaskTable {
    /// Of a group of tasks that have ended.
    enum EndedColumn: Int, SelectedColumn {
        case bucket, task, status, durationIndex, count, durationSum, retries, exception
    }

    /// Of a group of tasks in progress.
    enum UnfinishedColumn: Int, SelectedColumn {
        case task, status, count

        var expression: String {
            switch self {
            case .task: "task"
            case .status: "state"
            case .count: "count(*)"
            }
        }
    }

    /// Of some tasks, how many another table has too.
    enum CommonColumn: Int, SelectedColumn { case common, all }

    /// Of a task: when it last ran.
    enum LastRunColumn: Int, SelectedColumn { case task, time }

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
        let list = EndedColumn.list { column in
            switch column {
            case .bucket: "floor(extract(epoch FROM \(end)) / \(TaskRing.bucketSeconds))::bigint"
            case .task: text(.task)
            case .status:
                "CASE WHEN \(state) IN (\(Self.literals(Self.finalStates))) THEN \(state) ELSE '\(Self.otherState)' END"
            case .durationIndex: start == nil ? "NULL" : ifKnown(index)
            case .count: "count(*)"
            case .durationSum: start == nil ? "0" : "coalesce(sum(\(ifKnown(seconds))), 0)"
            case .retries: retries.map { "coalesce(sum(\($0)), 0)" } ?? "0"
            case .exception: "left(\(exception), 200)"
            }
        }
        let groups = EndedColumn.places(of: [.bucket, .task, .status, .durationIndex, .exception])
        return """
            SELECT \(list)
            FROM \(from(with: [.error]))
            WHERE t.\(completed.quoted) >= \(bound("$1", completed))
                AND t.\(completed.quoted) < \(bound("$2", completed))
                AND \(hasEnded)
            GROUP BY \(groups)
            LIMIT \(Self.maximumGroups + 1)
            """
    }

    /// Tasks in progress by name and state.
    func unfinishedQuery(_ unfinished: Unfinished) -> String {
        """
        SELECT \(UnfinishedColumn.list(\.expression))
        FROM (
            SELECT \(text(.task)) AS task, left(\(state), \(Self.maximumWordLength)) AS state
            FROM \(name) AS t WHERE \(unfinished.condition) LIMIT \(Self.maximumUnfinished)
        ) AS unfinished
        GROUP BY \(UnfinishedColumn.places(of: [.task, .status]))
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
        let list = LastRunColumn.list { $0 == .task ? "task" : "extract(epoch FROM max(run))" }
        return "SELECT \(list) FROM (\(all)) AS runs GROUP BY \(LastRunColumn.places(of: [.task]))"
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
        let list = CommonColumn.list { column in
            switch column {
            case .common: "count(*) FILTER (WHERE EXISTS (SELECT FROM \(other.name) AS o WHERE \(sameID)))"
            case .all: "count(*)"
            }
        }
        return """
            SELECT \(list)
            FROM (
                SELECT \(id.text("t.\(id.quoted)")) AS id FROM \(name) AS t
                WHERE t.\(completed.quoted) < \(minuteAgo)
                    AND \(moment(completed, of: "t")) >= (\(other.firstMoment(other.columns[.completed])))
                ORDER BY t.\(completed.quoted) DESC LIMIT 20
            ) AS recent
            """
    }
}
