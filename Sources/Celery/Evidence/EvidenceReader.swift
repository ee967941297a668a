package import Postgres
package import Reading

/// Reads from the task tables when the tasks of an expected schedule last ran, and says what follows for beat.
///
/// Each collection looks at the last minutes. Before the start it searches backwards, in steps that grow, until every
/// entry has shown a run or must have shown one, or the table has no older row.
package final class EvidenceReader: Reader {
    private let client: PostgresClient
    private let tasks: [String]
    private var tracker: EvidenceTracker
    private let tables: [TaskTableDefinition]
    private var found: [TaskTable] = []
    private var collectionsUntilNextLook = 0
    /// Searched from here on; nil before the first search.
    private var searchedFrom: Double?
    private var searchedUntil = 0.0
    private var step = EvidenceReader.firstStep
    private var isSettled = false
    /// After an outage: from where to read again until when, since records that waited for the database come later still.
    private var catchingUp: (from: Double, until: Double)?
    /// Whether a table was ever read.
    private var hasRead = false

    /// What would make collections cheap; nil where nothing is missing, or nothing is known.
    private var advice: String? {
        for table in found {
            guard let statement = table.indexStatement(.started) else { continue }
            return
                "\(table.title) has no index on its start, so looking for runs reads the whole table; run: \(statement)"
        }
        return nil
    }

    private static let firstStep = 3600.0
    private static let smallestStep = 60.0
    /// Ten years.
    private static let largestStep = 315_360_000.0

    /// - Parameter tables: where to look for the tasks.
    package init(
        client: PostgresClient,
        tables: [TaskTableDefinition],
        schedule: [ExpectedEntry],
        grace: Double
    ) {
        self.client = client
        self.tables = tables
        tasks = Set(schedule.map(\.task)).sorted()
        tracker = EvidenceTracker(entries: schedule, grace: grace)
    }

    /// How beat is now, as far as its tasks show it.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> {
        do throws(SourceError) {
            var problems: [SourceProblem] = []
            let state = try readTables(until: deadline, &problems)
            return Reading(of: state, problems: problems, advice: [advice].compactMap(\.self))
        } catch {
            // The table may have been altered, or the step back was too large.
            collectionsUntilNextLook = 0
            step = max(step / 4, Self.smallestStep)
            if hasRead, catchingUp == nil { catchingUp = (searchedUntil - Double(TaskRing.lateness), .infinity) }
            throw error
        }
    }

    private func readTables(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(SourceError) -> BeatState? {
        let isLook = collectionsUntilNextLook == 0
        let (clock, catalog) = try client.sourceReadOnly(until: deadline) { transaction throws(PostgresError) in
            let clock = try transaction.query("SELECT extract(epoch FROM clock_timestamp())")
            return (clock.first?.time(0), isLook ? try TaskCatalog(tables, transaction) : nil)
        }
        guard let now = clock else { return nil }
        if let catalog {
            found = catalog.tables.filter { $0.columns[.task] != nil }
            problems = catalog.problems
            if found.isEmpty, let reason = problems.first {
                throw SourceError(
                    reason.reason == .permission ? .permission : .server,
                    "query \(client.address.redacted): \(reason.description)"
                )
            }
            if found.isEmpty, hasRead {
                let names = tables.map(\.table).joined(separator: ", ")
                let message = "the task table (\(names)) is gone, and with it what tells of beat"
                throw SourceError(.server, "query \(client.address.redacted): \(message)")
            }
            collectionsUntilNextLook = TaskCatalog.collectionsBetweenLooks
        }
        collectionsUntilNextLook -= 1
        guard !found.isEmpty else {
            collectionsUntilNextLook = 0
            let start = searchedFrom ?? now
            searchedFrom = start
            let names = tables.map(\.table).joined(separator: ", ")
            problems.append(SourceProblem(.malformed, "no table (\(names)) to look for the tasks of the schedule in"))
            return tracker.observe(EvidenceReading(time: now, searchedFrom: start))
        }
        if catchingUp?.until == .infinity { catchingUp?.until = now + Double(TaskRing.lateness) }
        if let until = catchingUp?.until, now > until { catchingUp = nil }
        let from = min(searchedUntil - Double(TaskRing.lateness), catchingUp?.from ?? .infinity)
        var runs = hasRead ? try runs(from: from, until: now, deadline) : [:]
        searchedUntil = now
        hasRead = true
        if !isSettled {
            let until = searchedFrom ?? now
            let from = try max(until - step, min(oldest(deadline) ?? until, until))
            runs.merge(try self.runs(from: from, until: until, deadline), uniquingKeysWith: max)
            isSettled = from == until
            searchedFrom = from
            step = min(step * 2, Self.largestStep)
        }
        let start = searchedFrom ?? now
        var state = tracker.observe(EvidenceReading(time: now, runs: runs, searchedFrom: start))
        isSettled = isSettled || tracker.isSettled(searchedFrom: start, at: now)
        state.isPreliminary = !isSettled
        return state
    }

    /// The latest start of each task that any table shows between two times.
    private func runs(
        from: Double,
        until: Double,
        _ deadline: ContinuousClock.Instant
    ) throws(SourceError) -> [String: Double] {
        var runs: [String: Double] = [:]
        for table in found {
            let query = table.lastRunsQuery(taskCount: tasks.count)
            let arguments = [String(from), String(until)] + tasks
            for row in try rows(of: query, arguments, table, deadline) {
                guard let task = row.text(TaskTable.LastRunColumn.task), tasks.contains(task),
                    let run = row.time(TaskTable.LastRunColumn.time)
                else { continue }
                runs[task] = max(runs[task] ?? 0, run)
            }
        }
        return runs
    }

    /// From when on all tables have rows; nil while they are empty.
    private func oldest(_ deadline: ContinuousClock.Instant) throws(SourceError) -> Double? {
        var latest: Double?
        for table in found {
            guard let oldest = try rows(of: table.oldestQuery, [], table, deadline).first?.time(0) else { continue }
            latest = max(latest ?? oldest, oldest)
        }
        return latest
    }

    private func rows(
        of query: String,
        _ arguments: [String],
        _ table: TaskTable,
        _ deadline: ContinuousClock.Instant
    ) throws(SourceError) -> [PostgresRow] {
        try client.sourceReadOnly(until: deadline, table.readable) { transaction throws(PostgresError) in
            try table.verify(transaction)
            return try transaction.query(query, arguments)
        }
    }
}
