internal import Postgres
internal import Reading

/// One table that is read, and what was counted from it.
final class TaskSource {
    /// As it was last found.
    var table: TaskTable
    /// Whether it is told of: not while another table may have the same tasks.
    var isCounted = false
    /// Whether the table was gone when it was last looked for.
    var isAway = false
    private let configuration: TaskConfiguration
    private var ring: TaskRing
    private var now: Int64 = 0
    /// Whether it was ever read.
    private(set) var wasRead = false

    /// The name of rows that have none.
    private static let unnamed = "unknown"

    init(_ table: TaskTable, _ configuration: TaskConfiguration, _ cap: LabelCap) {
        self.table = table
        self.configuration = configuration
        ring = TaskRing(configuration: configuration, cap: cap)
    }

    /// What was counted so far, without what the table cannot tell.
    var aggregates: [TaskAggregate] {
        ring.aggregates(at: now).map { task in
            var task = task
            if !table.hasStart { task.durationCounts = nil }
            if !table.hasRetries { task.retries = nil }
            return task
        }
    }

    /// The table was not there at that time: what it holds has come since.
    func noteAbsence(at time: Int64) {
        now = time
        ring.observe([], inProgress: [], at: time)
    }

    /// PostgreSQL's clock, Unix seconds.
    static func now(_ transaction: borrowing PostgresTransaction) throws(PostgresError) -> Int64 {
        let time = try transaction.query("SELECT extract(epoch FROM now())::bigint").first?.time(0)
        guard let time else { throw transaction.unexpected("the server's clock tells no time that can be") }
        return Int64(time)
    }

    /// Takes in what has ended since the last time, and what is in progress.
    func read(_ transaction: borrowing PostgresTransaction, _ problems: inout [SourceProblem]) throws(PostgresError) {
        let now = try Self.now(transaction)
        var groups = 0
        ring.begin(at: now)
        try transaction.forEachRow(
            of: table.endedQuery(durationBounds: configuration.durationBounds),
            [String(ring.start(at: now)), String(now + TaskRing.maximumFuture)]
        ) { row in
            groups += 1
            guard groups <= TaskTable.maximumGroups else { return false }
            if let row = self.row(row) { ring.add(row) }
            return true
        }
        var unfinished = 0
        if let condition = try table.unfinished(transaction, firstParameter: 1) {
            try transaction.forEachRow(of: table.unfinishedQuery(condition), condition.parameters) { row in
                guard let status = row.text(TaskTable.UnfinishedColumn.status),
                    let count = row.count(TaskTable.UnfinishedColumn.count)
                else { return true }
                unfinished.count(count)
                let task = row.text(TaskTable.UnfinishedColumn.task) ?? Self.unnamed
                if configuration.tells(of: task) { ring.add(inProgress: count, of: task, status) }
                return true
            }
        }
        if unfinished >= TaskTable.maximumUnfinished {
            let problem =
                "\(table.title): over \(TaskTable.maximumUnfinished) tasks in progress; the rest is not counted"
            problems.append(SourceProblem(.overLimit, problem))
        }
        self.now = now
        wasRead = true
        let isComplete = groups <= TaskTable.maximumGroups
        let hasRoom = ring.end(at: now, isComplete: isComplete)
        if !isComplete || !hasRoom {
            let maximum = isComplete ? TaskRing.maximumCells : TaskTable.maximumGroups
            problems.append(
                SourceProblem(.overLimit, "\(table.title): more than \(maximum) groups at once; counts are too low")
            )
        }
    }

    private func row(_ row: PostgresRow) -> TaskRing.Row? {
        typealias Column = TaskTable.EndedColumn
        guard let bucket = row.integer(Column.bucket), let status = row.text(Column.status),
            let count = row.count(Column.count)
        else { return nil }
        let task = row.text(Column.task) ?? Self.unnamed
        guard configuration.tells(of: task) else { return nil }
        return TaskRing.Row(
            bucket: bucket,
            task: task,
            status: status,
            durationIndex: row.integer(Column.durationIndex).map { Int($0) },
            count: count,
            durationSum: row.number(Column.durationSum) ?? 0,
            retries: row.count(Column.retries) ?? 0,
            exception: row.text(Column.exception)
        )
    }
}
