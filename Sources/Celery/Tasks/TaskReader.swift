package import Postgres
package import Reading
internal import System

/// Reads how tasks fare from the task tables of a database.
///
/// Each table is read in a transaction of its own: what is wrong with one leaves the others. What was counted stays counted
/// while its table is away, so that no counter ever falls.
package final class TaskReader: Reader {
    private let client: PostgresClient
    private let configuration: TaskConfiguration
    private let cap: LabelCap
    private var selection = TaskTableSelection()
    /// Every table that is read or was counted, by name.
    private var sources: [String: TaskSource] = [:]
    private var problemsOfLook: [SourceProblem] = []
    private var collectionsUntilNextLook = 0
    /// When tables were last looked for, by PostgreSQL's clock, and which were there.
    private var lastLook: (time: Int64, tables: Set<String>)?

    /// What would make collections cheap, or safe.
    private var advice: [String] = []

    package init(client: PostgresClient, configuration: TaskConfiguration) {
        self.client = client
        self.configuration = configuration
        cap = LabelCap(configuration)
    }

    /// How tasks fare now; nil while there is no table. Notes tell which tables are left out, and why.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<TaskState> {
        do throws(SourceError) {
            var problems: [SourceProblem] = []
            let state = try readTables(until: deadline, &problems)
            return Reading(state, problems: problems, advice: advice, notes: selection.notes)
        } catch {
            // A large table without its index is read for too long: tell what would help.
            guard error.reason == .timeout, !advice.isEmpty else { throw error }
            throw SourceError(.timeout, "\(error.description); \(advice.joined(separator: "; "))")
        }
    }

    private func readTables(
        until deadline: ContinuousClock.Instant,
        _ problems: inout [SourceProblem]
    ) throws(SourceError) -> TaskState? {
        if collectionsUntilNextLook == 0 { try look(until: deadline) }
        collectionsUntilNextLook -= 1
        problems = problemsOfLook
        var failure: SourceError?
        var read: Set<String> = []
        let tables = selection.chosen + selection.undecided.filter(\.isCheap)
        for (index, table) in tables.enumerated() {
            guard let source = sources[table.title] else { continue }
            // One that is slow leaves the others their time.
            let share = deadline.share(amongst: tables.count - index)
            do throws(PostgresError) {
                try client.readOnly(until: share, table.readable) { transaction throws(PostgresError) in
                    try source.table.verify(transaction)
                    try source.read(transaction, &problems)
                }
                read.insert(table.title)
            } catch {
                // The table may have been dropped or altered: look again before the next query.
                collectionsUntilNextLook = 0
                guard let problem = SourceProblem(error, readingTable: table.title) else { throw SourceError(error) }
                if error.isMissingRelation { source.isAway = true }
                problems.append(problem)
                failure = failure ?? SourceError(error.advising(onTable: table.title))
            }
        }
        var isAnyCounted = selection.chosen.contains { read.contains($0.title) }
        if !isAnyCounted, !read.isEmpty, !sources.values.contains(where: { $0.isCounted && $0.wasRead }) {
            // What should be preferred cannot be read from the start on: take what can.
            selection.promote(read)
            for title in read { sources[title]?.isCounted = true }
            isAnyCounted = true
        }
        if let failure, !isAnyCounted { throw failure }
        let counted = sources.values.filter(\.isCounted)
        return isAnyCounted ? TaskState(counted, read: read, foldedNames: cap.folded) : nil
    }

    /// Finds the tables and decides which to read.
    private func look(until deadline: ContinuousClock.Instant) throws(SourceError) {
        let (now, catalog, rights) = try client.sourceReadOnly(until: deadline) { transaction throws(PostgresError) in
            (
                try TaskSource.now(transaction), try TaskCatalog(configuration.tables, transaction),
                try RoleRights(transaction)
            )
        }
        // What they are is worth a part of the time, and what is in them the rest.
        let comparing = deadline.share(amongst: 4)
        selection.update(catalog.tables) { areSame($0, $1, until: comparing) }
        let there = Set(catalog.tables.map(\.title)).union(catalog.unreadable)
        for (title, source) in sources where !there.contains(title) { source.isAway = true }
        for table in selection.chosen + selection.undecided { sources[table.title] = source(of: table, at: now) }
        for table in selection.chosen { sources[table.title]?.isCounted = true }
        for (table, _) in selection.leftOut where sources[table.title]?.isCounted != true { sources[table.title] = nil }
        lastLook = (now, there)

        problemsOfLook = catalog.problems
        if there.isEmpty {
            let names = configuration.tables.map(\.table).joined(separator: ", ")
            let problem =
                "no task table (\(names)) in the search path; set up recorder/celery_signals.py, or grant SELECT"
            problemsOfLook.append(SourceProblem(.malformed, problem))
        }
        advice =
            (rights.warning.map { [$0] } ?? []) + catalog.doubles
            + (selection.chosen + selection.undecided).compactMap(\.advice)
        if selection.chosen.isEmpty, let denied = catalog.problems.first(where: { $0.reason == .permission }) {
            throw SourceError(.permission, "query \(client.address.redacted): \(denied.description)")
        }
        let isComplete =
            !selection.chosen.isEmpty && selection.undecided.isEmpty && sources.keys.allSatisfy(there.contains)
            && !catalog.problems.contains { $0.reason == .permission }
        collectionsUntilNextLook = isComplete ? TaskCatalog.collectionsBetweenLooks : 1
    }

    /// The source of a table that is to be read.
    private func source(of table: TaskTable, at now: Int64) -> TaskSource {
        if let source = sources[table.title] {
            // Made anew: what it holds has come since it was away.
            if source.isAway, source.table.identifier != table.identifier { source.noteAbsence(at: now) }
            source.isAway = false
            source.table = table
            return source
        }
        let source = TaskSource(table, configuration, cap)
        // What is in a table that was not there has come since.
        if let lastLook, !lastLook.tables.contains(table.title) { source.noteAbsence(at: lastLook.time) }
        return source
    }

    /// Whether two tables record the same tasks, judged by some that ended a while ago; nil while there are none, and
    /// where one of the tables cannot be read now.
    private func areSame(_ table: TaskTable, _ other: TaskTable, until deadline: ContinuousClock.Instant) -> Bool? {
        guard table.identifier != other.identifier else { return true }
        guard let query = table.commonTasksQuery(with: other) else { return false }
        // Without an index the question would cost as much as the table is long.
        guard table.isCheap, other.isCheap else { return nil }
        let readable = table.definition.isExpected ? table.readable : other.readable
        let rows = try? client.readOnly(until: deadline, readable) { transaction throws(PostgresError) in
            try table.verify(transaction)
            try other.verify(transaction)
            return try transaction.query(query)
        }
        guard let row = rows?.first, let common = row.integer(TaskTable.CommonColumn.common),
            let all = row.integer(TaskTable.CommonColumn.all), all > 0
        else { return nil }
        return common > 0
    }
}
