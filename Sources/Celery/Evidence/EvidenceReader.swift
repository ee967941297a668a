package import Postgres

/// Reads from the task table when the tasks of an expected schedule last ran, and says what follows for beat.
///
/// Each collection looks at the last minutes. Before the start it searches backwards, in steps that grow, until every
/// entry has shown a run or must have shown one, or the table has no older row.
package final class EvidenceReader {
    private let client: PostgresClient
    private let tasks: [String]
    private var tracker: EvidenceTracker
    private var table: TaskInfoTable?
    private var collectionsUntilNextLook = 0
    /// Searched from here on; nil before the first search.
    private var searchedFrom: Double?
    private var searchedUntil = 0.0
    private var step = EvidenceReader.firstStep
    private var isSettled = false

    /// Advice on the table that makes collections cheap; nil where nothing is missing, or nothing is known.
    package var advice: String? {
        guard let table, table.hasStartTime, !table.isStartIndexed else { return nil }
        return "\(TaskInfoTable.name) has no index on task_time, so looking for runs reads the whole table; run: "
            + TaskInfoTable.startIndexStatement
    }

    /// Collections between two looks at the table's columns and indexes.
    private static let collectionsBetweenLooks = 30
    /// Rows may appear this many seconds after their times.
    private static let lateness = 120.0
    private static let firstStep = 3600.0
    private static let smallestStep = 60.0

    package init(client: PostgresClient, schedule: [ExpectedEntry], grace: Double) {
        self.client = client
        tasks = Set(schedule.map(\.task)).sorted()
        tracker = EvidenceTracker(entries: schedule, grace: grace)
    }

    /// How beat is now, as far as its tasks show it.
    package func read() throws(PostgresError) -> (state: BeatState?, anomalies: [Anomaly]) {
        do {
            return try client.readOnly { transaction throws(PostgresError) in try read(transaction) }
        } catch {
            // The table may have been altered, or the step back was too large.
            collectionsUntilNextLook = 0
            step = max(step / 4, Self.smallestStep)
            throw error
        }
    }

    private func read(_ transaction: borrowing PostgresTransaction) throws(PostgresError) -> (BeatState?, [Anomaly]) {
        let clock = try transaction.query("SELECT extract(epoch FROM clock_timestamp())")
        guard let now = clock.first?.number(0) else { return (nil, []) }
        var anomalies: [Anomaly] = []
        if collectionsUntilNextLook == 0 {
            table = try TaskInfoTable.find(transaction, &anomalies)
            collectionsUntilNextLook = Self.collectionsBetweenLooks
        }
        collectionsUntilNextLook -= 1
        guard let table else {
            collectionsUntilNextLook = 0
            let start = searchedFrom ?? now
            searchedFrom = start
            return (tracker.observe(EvidenceReading(time: now, searchedFrom: start)), anomalies)
        }
        var runs =
            searchedFrom == nil
            ? [:] : try self.runs(transaction, table, from: searchedUntil - Self.lateness, until: now)
        searchedUntil = now
        if !isSettled {
            let until = searchedFrom ?? now
            let from = try max(until - step, min(oldest(transaction, table) ?? until, until))
            runs.merge(try self.runs(transaction, table, from: from, until: until), uniquingKeysWith: max)
            isSettled = from == until
            searchedFrom = from
            step *= 2
        }
        let start = searchedFrom ?? now
        let state = tracker.observe(EvidenceReading(time: now, runs: runs, searchedFrom: start))
        isSettled = isSettled || tracker.isSettled(searchedFrom: start, at: now)
        return (state, anomalies)
    }

    private func runs(
        _ transaction: borrowing PostgresTransaction,
        _ table: TaskInfoTable,
        from: Double,
        until: Double
    ) throws(PostgresError) -> [String: Double] {
        let rows = try transaction.query(
            table.lastRunsQuery(taskCount: tasks.count),
            [String(from), String(until)] + tasks
        )
        return Dictionary(
            rows.compactMap { row in row.text(0).flatMap { task in row.number(1).map { (task, $0) } } },
            uniquingKeysWith: max
        )
    }

    /// When the table begins; nil while it is empty.
    private func oldest(_ transaction: borrowing PostgresTransaction, _ table: TaskInfoTable) throws(PostgresError)
        -> Double?
    {
        try transaction.query(table.oldestQuery).first?.number(0)
    }
}
