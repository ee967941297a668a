internal import Postgres

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

    /// Groups that one collection takes, which bounds its memory.
    private static let maximumRows = 4 * TaskTable.maximumGroups
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

    /// Takes in what has ended since the last time, and what is in progress.
    func read(_ transaction: borrowing PostgresTransaction, _ anomalies: inout [Anomaly]) throws(PostgresError) {
        guard let now = try transaction.query("SELECT extract(epoch FROM now())::bigint").first?.integer(0) else {
            return
        }
        var ended: [TaskRing.Row] = []
        let future = now + TaskRing.maximumFuture
        let isComplete = try readEnded(transaction, from: ring.start(at: now), until: future, into: &ended)
        var unfinished: [PostgresRow] = []
        if let condition = try table.unfinished(transaction, firstParameter: 1) {
            unfinished = try transaction.query(
                table.unfinishedQuery(condition),
                condition.parameters,
                memory: PostgresTransaction.largeMemory
            )
        }
        if !isComplete {
            let problem = "\(table.title): more than \(Self.maximumRows) groups at once; counts are too low"
            anomalies.append(Anomaly(.overLimit, problem))
        }
        if unfinished.reduce(0, { $0 + ($1.integer(2) ?? 0) }) >= TaskTable.maximumGroups {
            let problem = "\(table.title): over \(TaskTable.maximumGroups) tasks in progress; the rest is not counted"
            anomalies.append(Anomaly(.overLimit, problem))
        }
        self.now = now
        wasRead = true
        ring.observe(
            ended,
            inProgress: unfinished.compactMap { row in
                guard let status = row.text(1), let count = row.integer(2) else { return nil }
                let task = row.text(0) ?? Self.unnamed
                return configuration.tells(of: task) ? (task, status, Int(count)) : nil
            },
            at: now,
            isComplete: isComplete
        )
    }

    /// Adds what ended from one time (Unix seconds) to before another, in as many parts as results may be large.
    ///
    /// - Returns: false if there was more than is taken.
    private func readEnded(
        _ transaction: borrowing PostgresTransaction,
        from start: Int64,
        until end: Int64,
        into ended: inout [TaskRing.Row]
    ) throws(PostgresError) -> Bool {
        guard ended.count < Self.maximumRows else { return false }
        let query = table.endedQuery(durationBounds: configuration.durationBounds)
        let rows = try transaction.query(
            query,
            [String(start), String(end)],
            memory: PostgresTransaction.largeMemory
        )
        let buckets = (end - start) / TaskRing.bucketSeconds
        guard rows.count >= TaskTable.maximumGroups, buckets > 1 else {
            ended += rows.compactMap { row($0) }
            return rows.count < TaskTable.maximumGroups
        }
        let middle = start + buckets / 2 * TaskRing.bucketSeconds
        let isFirstComplete = try readEnded(transaction, from: start, until: middle, into: &ended)
        return try readEnded(transaction, from: middle, until: end, into: &ended) && isFirstComplete
    }

    private func row(_ row: PostgresRow) -> TaskRing.Row? {
        guard let bucket = row.integer(0), let status = row.text(2), let count = row.integer(4) else { return nil }
        let task = row.text(1) ?? Self.unnamed
        guard configuration.tells(of: task) else { return nil }
        return TaskRing.Row(
            bucket: bucket,
            task: task,
            status: status,
            durationIndex: row.integer(3).map { Int($0) },
            count: Int(count),
            durationSum: row.number(5) ?? 0,
            retries: row.integer(6).map { Int($0) } ?? 0,
            exception: row.text(7)
        )
    }
}
