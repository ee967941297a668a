package import Postgres
package import Reading

/// Reads how pipelines fare from the first task table that knows with which task each began.
///
/// A collection looks at the pipelines of which a member has lately ended or is in progress, whatever the table holds.
package final class PipelineReader: Reader {
    private let client: PostgresClient
    private let configuration: TaskConfiguration
    private var tracker: PipelineTracker
    private var table: TaskTable?
    private var collectionsUntilNextLook = 0
    private var lastReading: Double?

    /// What would make it possible to look at pipelines; nil where nothing is missing, or nothing is known.
    private var advice: String?

    /// Pipelines that one collection looks at.
    private static let maximumRoots = 20_000
    /// Of these so many in one query.
    private static let batch = 2000

    package init(client: PostgresClient, configuration: TaskConfiguration) {
        self.client = client
        self.configuration = configuration
        tracker = PipelineTracker(configuration: configuration)
    }

    /// How pipelines fare now; nil while no table knows of any.
    package func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<PipelineState> {
        do throws(PostgresError) {
            if collectionsUntilNextLook == 0 {
                try client.readOnly(until: deadline) { transaction throws(PostgresError) in try look(transaction) }
                collectionsUntilNextLook = TaskCatalog.collectionsBetweenLooks
            }
            var problems: [SourceProblem] = []
            let readable = table?.readable ?? .tables
            let state = try client.readOnly(until: deadline, readable) { transaction throws(PostgresError) in
                // It may run a second time.
                problems = []
                try table?.verify(transaction)
                return try read(transaction, &problems)
            }
            return Reading(state, problems: problems, advice: [advice].compactMap(\.self))
        } catch {
            collectionsUntilNextLook = 0
            throw SourceError(table.map { error.advising(onTable: $0.title) } ?? error)
        }
    }

    private func read(
        _ transaction: borrowing PostgresTransaction,
        _ problems: inout [SourceProblem]
    ) throws(PostgresError) -> PipelineState? {
        collectionsUntilNextLook -= 1
        if table == nil { collectionsUntilNextLook = 0 }
        guard let now = try transaction.query("SELECT extract(epoch FROM now())").first?.time(0) else {
            return nil
        }
        guard let table, let queries = PipelineQueries(table) else {
            tracker.begin(at: now)
            return nil
        }

        let longest = Double(configuration.windows.map(\.seconds).max() ?? 0)
        let since = lastReading.map { $0 - Double(TaskRing.lateness) } ?? now - longest
        var roots = Set(tracker.openRoots)
        let unfinished = try table.unfinished(transaction, firstParameter: 2)
        let changed = queries.changed(unfinished, limit: Self.maximumRoots)
        let rows = try transaction.query(changed, [String(since)] + (unfinished?.parameters ?? []))
        for row in rows.prefix(Self.maximumRoots) {
            if let root = row.text(0), !tracker.noteSight(of: root, at: now) { roots.insert(root) }
        }
        if roots.count >= Self.maximumRoots {
            let problem = "\(table.title): more than \(Self.maximumRoots) pipelines at once; the rest is not counted"
            problems.append(SourceProblem(.overLimit, problem))
        }
        let all = roots.sorted()
        var readings: [PipelineReading] = []
        for start in stride(from: 0, to: all.count, by: Self.batch) {
            let batch = Array(all[start..<min(start + Self.batch, all.count)])
            let asked = Set(batch)
            readings += try transaction.query(queries.members(rootCount: batch.count), batch).prefix(batch.count)
                .compactMap(Self.reading).filter { asked.contains($0.root) }
        }
        tracker.observe(readings, at: now)
        lastReading = now
        return tracker.state(at: now)
    }

    private func look(_ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        advice = nil
        table = nil
        for found in try TaskCatalog(configuration.tables, transaction).tables {
            guard let queries = PipelineQueries(found) else { continue }
            guard queries.isIndexed, found.isIndexed else {
                advice = "\(found.title) lacks an index, so pipelines are not counted; run: \(queries.statements)"
                return
            }
            table = found
            return
        }
    }

    private static func reading(_ row: PostgresRow) -> PipelineReading? {
        typealias Column = PipelineQueries.Column
        guard let root = row.text(Column.root), let members = row.count(Column.members) else { return nil }
        return PipelineReading(
            root: root,
            rootTask: row.text(Column.rootTask),
            members: members,
            succeeded: row.count(Column.succeeded) ?? 0,
            failed: row.count(Column.failed) ?? 0,
            total: row.integer(Column.total).flatMap { (1...1_000_000).contains($0) ? Int($0) : nil },
            start: row.time(Column.start),
            end: row.time(Column.end),
            failure: row.time(Column.failure)
        )
    }
}

/// The SQL about pipelines of one table.
private struct PipelineQueries {
    /// Of what the table has of one pipeline.
    enum Column: Int, SelectedColumn {
        case root, rootTask, members, succeeded, failed, total, start, end, failure
    }

    private let table: TaskTable
    private let id: String
    private let root: (value: String, text: String)
    /// What roots are compared with. An index serves only what is compared as it is.
    private let comparedRoot: String
    private let completed: Relation.Column
    private let end: String

    /// States in which a member has failed for good.
    private static let failed = ["FAILURE", "REVOKED", "REJECTED"]

    /// - Returns: nil where the table does not know with which task each began.
    init?(_ table: TaskTable) {
        guard let id = table.columns[.id], let root = table.anywhere(.root), let completed = table.columns[.completed],
            let end = table.moment(.completed)
        else { return nil }
        self.table = table
        self.id = id.text("t.\(id.quoted)")
        self.root = (root.value, root.column.text(root.value))
        comparedRoot = root.column.origin == .builtIn ? self.root.value : self.root.text
        self.completed = completed
        self.end = end
    }

    /// What makes the missing index on the root; nil where there is one.
    private var rootIndexStatement: String? {
        if let own = table.columns[.root] {
            return table.relation.kind.indexStatement(on: table.relation.shownName, own)
        }
        for detail in table.details {
            if let other = detail.columns[.root] {
                return detail.relation.kind.indexStatement(on: detail.relation.shownName, other)
            }
        }
        return nil
    }

    var isIndexed: Bool { rootIndexStatement == nil }

    var statements: String {
        [rootIndexStatement, table.indexStatement(.completed)].compactMap { $0 }.joined(separator: "; ")
    }

    /// Of the widest types a number may have 100,000 digits.
    private var total: String {
        table.anywhere(.chainTotal).map { "least(greatest(\($0.value), 0), 1000001)::bigint" } ?? "NULL::bigint"
    }
    private var from: String { table.from(with: [.root, .chainTotal]) }
    /// A task that nobody set off, and that sets off no chain, is none.
    private var isMember: String { "\(root.value) IS NOT NULL AND (\(root.text) <> \(id) OR \(total) > 1)" }

    /// Roots of pipelines with a member that ended since a time ($1, Unix seconds), or is in progress.
    func changed(_ unfinished: TaskTable.Unfinished?, limit: Int) -> String {
        """
        SELECT root FROM (
            SELECT DISTINCT \(root.text) AS root FROM \(from)
            WHERE t.\(completed.quoted) >= \(table.bound("$1", completed))
                AND t.\(completed.quoted) < \(table.bound("(extract(epoch FROM now()) + \(TaskRing.maximumFuture))", completed))
                AND \(isMember)
            UNION
            SELECT * FROM (
                SELECT \(root.text) FROM \(from)
                WHERE \(unfinished?.condition ?? "false") AND \(isMember)
                LIMIT \(limit)
            ) AS unfinished
        ) AS roots
        WHERE octet_length(root) <= 255
        LIMIT \(limit)
        """
    }

    /// What the table has of pipelines ($1, $2, ...).
    func members(rootCount: Int) -> String {
        let roots = (1...max(1, rootCount)).map { "$\($0)" }.joined(separator: ", ")
        let failed = Self.failed.map(TaskTable.literal).joined(separator: ", ")
        let start = table.moment(.started).map { "CASE WHEN isfinite(\($0)) THEN \($0) END" } ?? end
        let list = Column.list { column in
            switch column {
            case .root: root.text
            case .rootTask: "max(\(table.text(.task))) FILTER (WHERE \(id) = \(root.text))"
            case .members: "count(*)"
            case .succeeded: "count(*) FILTER (WHERE \(table.state) = 'SUCCESS')"
            case .failed: "count(*) FILTER (WHERE \(table.state) IN (\(failed)))"
            case .total: "max(\(total))"
            case .start: "extract(epoch FROM min(\(start)))"
            case .end: "extract(epoch FROM max(\(end)) FILTER (WHERE isfinite(\(end))))"
            case .failure: "extract(epoch FROM min(\(end)) FILTER (WHERE \(table.state) IN (\(failed))))"
            }
        }
        return """
            SELECT \(list)
            FROM \(from)
            WHERE \(comparedRoot) IN (\(roots))
            GROUP BY \(Column.places(of: [.root]))
            """
    }
}
