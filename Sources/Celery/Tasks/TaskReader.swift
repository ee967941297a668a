package import Postgres

/// Reads how tasks fare from the task table in a database.
package final class TaskReader {
    private let client: PostgresClient
    private let configuration: TaskConfiguration
    private var ring: TaskRing
    private var table: TaskInfoTable?
    private var collectionsUntilNextLook = 0

    /// Advice on the table that makes collections cheap; nil where nothing is missing, or nothing is known.
    package var advice: String? {
        guard let table, !table.isIndexed else { return nil }
        return "\(TaskInfoTable.name) has no index on completed_time, so each collection reads the whole table; run: "
            + TaskInfoTable.indexStatement
    }

    /// Collections between two looks at the table's columns and indexes.
    private static let collectionsBetweenLooks = 30
    /// The name of rows that have none.
    private static let unnamed = "unknown"

    package init(client: PostgresClient, configuration: TaskConfiguration) {
        self.client = client
        self.configuration = configuration
        ring = TaskRing(configuration: configuration)
    }

    /// How tasks fare now; nil while there is no table.
    package func read() throws(PostgresError) -> (state: TaskState?, anomalies: [Anomaly]) {
        do {
            return try client.readOnly { transaction throws(PostgresError) in try read(transaction) }
        } catch {
            // The table may have been dropped or altered: look again before the next query.
            collectionsUntilNextLook = 0
            throw error
        }
    }

    private func read(_ transaction: borrowing PostgresTransaction) throws(PostgresError) -> (TaskState?, [Anomaly]) {
        var anomalies: [Anomaly] = []
        guard let now = try transaction.query("SELECT extract(epoch FROM now())::bigint").first?.integer(0) else {
            return (nil, anomalies)
        }
        if collectionsUntilNextLook == 0 {
            table = try TaskInfoTable.find(transaction, &anomalies)
            collectionsUntilNextLook = Self.collectionsBetweenLooks
        }
        collectionsUntilNextLook -= 1
        guard let table else {
            collectionsUntilNextLook = 0
            // What a table holds when it appears has come since this look.
            ring.observe([], inProgress: [], at: now)
            return (nil, anomalies)
        }

        let start = ring.start(at: now)
        let ended = try transaction.query(
            table.endedQuery(durationBounds: configuration.durationBounds),
            [String(start)]
        )
        let unfinished = try transaction.query(TaskInfoTable.unfinishedQuery)
        if ended.count >= TaskInfoTable.maximumGroups {
            anomalies.append(
                Anomaly(
                    .overLimit,
                    "\(TaskInfoTable.name): more than \(TaskInfoTable.maximumGroups) groups; counts are too low"
                )
            )
        }
        if unfinished.reduce(0, { $0 + ($1.integer(2) ?? 0) }) >= TaskInfoTable.maximumGroups {
            anomalies.append(
                Anomaly(
                    .overLimit,
                    "\(TaskInfoTable.name): over \(TaskInfoTable.maximumGroups) tasks in progress; the rest is not counted"
                )
            )
        }
        ring.observe(
            ended.compactMap { Self.row($0) },
            inProgress: unfinished.compactMap { row in
                guard let status = row.text(1), let count = row.integer(2) else { return nil }
                return (row.text(0) ?? Self.unnamed, status, Int(count))
            },
            at: now
        )
        let state = TaskState(
            table: TaskInfoTable.name,
            isIndexMissing: !table.isIndexed,
            tasks: ring.aggregates(at: now),
            foldedNames: ring.foldedNames
        )
        return (state, anomalies)
    }

    private static func row(_ row: PostgresRow) -> TaskRing.Row? {
        guard let bucket = row.integer(0), let status = row.text(2), let count = row.integer(4) else { return nil }
        return TaskRing.Row(
            bucket: bucket,
            task: row.text(1) ?? unnamed,
            status: status,
            durationIndex: row.integer(3).map { Int($0) },
            count: Int(count),
            durationSum: row.number(5) ?? 0,
            retries: row.integer(6).map { Int($0) } ?? 0
        )
    }
}
