/// Counts of ended tasks in buckets of time over their completion, and the counters made of them.
///
/// A collection reads only the last few buckets again: rows appear late (a transaction that commits after its own
/// completion time, a worker with a slow clock). Each cell remembers the highest count it was read with, and what it
/// grew by is added to the counters, so that they stay monotone when rows are deleted or a task of the same id runs again.
struct TaskRing {
    static let bucketSeconds: Int64 = 10
    /// Buckets stay open for this long.
    static let lateness: Int64 = 120
    /// Rows that claim to have ended later than this from now are left until their time has come.
    static let maximumFuture: Int64 = 600
    /// After an outage of the source no more than this is caught up with.
    static let maximumBackfill: Int64 = 6 * 3600
    /// The name that stands for all beyond the bound.
    static let otherName = "other"

    /// One group of a query's result.
    struct Row: Equatable {
        /// Completion time in whole buckets since 1970.
        var bucket: Int64
        var task: String
        var status: String
        /// The index of the duration's bucket; nil where no duration is known.
        var durationIndex: Int?
        var count: Int
        var durationSum: Double
        var retries: Int
    }

    private struct Key: Hashable {
        let task: String
        let status: String
        let durationIndex: Int?
    }

    private struct Cell {
        var count = 0
        var durationSum = 0.0
        var retries = 0

        mutating func add(_ row: Row) {
            count += row.count
            durationSum += row.durationSum
            retries += row.retries
        }

        func maximum(_ other: Cell) -> Cell {
            Cell(
                count: max(count, other.count),
                durationSum: max(durationSum, other.durationSum),
                retries: max(retries, other.retries)
            )
        }
    }

    private struct Totals {
        var results: [String: Int] = ["SUCCESS": 0, "FAILURE": 0, "REVOKED": 0]
        var durationCounts: [Int]
        var durationSum = 0.0
        var retries = 0
        var inProgress: [String: Int] = [:]
    }

    private let configuration: TaskConfiguration
    private var buckets: [Int64: [Key: Cell]] = [:]
    private var totals: [String: Totals] = [:]
    private var lastObservation: Int64?
    private(set) var foldedNames = 0

    init(configuration: TaskConfiguration) {
        self.configuration = configuration
    }

    /// From which completion time (Unix seconds) to read at `now`: all windows at first, the open buckets afterwards.
    func start(at now: Int64) -> Int64 {
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        let start = lastObservation.map { max($0 - Self.lateness, now - Self.maximumBackfill) } ?? (now - longest)
        return start / Self.bucketSeconds * Self.bucketSeconds
    }

    /// Takes in all groups from `start(at: now)` on, and the tasks in progress.
    mutating func observe(_ rows: [Row], inProgress: [(task: String, status: String, count: Int)], at now: Int64) {
        let isBaseline = lastObservation == nil
        // Rows of several names may be folded into one cell, so add them up first.
        var read: [Int64: [Key: Cell]] = [:]
        for row in rows {
            let key = Key(task: name(row.task), status: row.status, durationIndex: row.durationIndex)
            read[row.bucket, default: [:]][key, default: Cell()].add(row)
        }
        for (bucket, cells) in read {
            for (key, cell) in cells {
                let before = buckets[bucket]?[key] ?? Cell()
                if !isBaseline { count(growthFrom: before, to: cell, of: key) }
                buckets[bucket, default: [:]][key] = cell.maximum(before)
            }
        }
        for task in totals.keys {
            for status in totals[task]?.inProgress.keys.map({ $0 }) ?? [] { totals[task]?.inProgress[status] = 0 }
        }
        for group in inProgress { totals[name(group.task)]?.inProgress[group.status, default: 0] += group.count }

        lastObservation = now
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        let oldest = (now - max(longest, Self.lateness)) / Self.bucketSeconds - 1
        buckets = buckets.filter { $0.key >= oldest }
    }

    func aggregates(at now: Int64) -> [TaskAggregate] {
        let ratios = successRatios(at: now)
        return totals.sorted { $0.key < $1.key }.map { name, totals in
            TaskAggregate(
                name: name,
                results: totals.results,
                successRatios: ratios[name] ?? [],
                durationCounts: totals.durationCounts,
                durationSum: totals.durationSum,
                retries: totals.retries,
                inProgress: totals.inProgress
            )
        }
    }

    private func successRatios(at now: Int64) -> [String: [SuccessRatio]] {
        var ratios: [String: [SuccessRatio]] = [:]
        for window in configuration.windows {
            let first = (now - window.seconds) / Self.bucketSeconds
            var successes: [String: Int] = [:]
            var ended: [String: Int] = [:]
            for (bucket, cells) in buckets where bucket > first {
                for (key, cell) in cells where key.status == "SUCCESS" || key.status == "FAILURE" {
                    ended[key.task, default: 0] += cell.count
                    if key.status == "SUCCESS" { successes[key.task, default: 0] += cell.count }
                }
            }
            for (task, count) in ended where count > 0 {
                let ratio = Double(successes[task] ?? 0) / Double(count)
                ratios[task, default: []].append(SuccessRatio(window: window, ratio: ratio))
            }
        }
        return ratios
    }

    private mutating func count(growthFrom before: Cell, to cell: Cell, of key: Key) {
        totals[key.task]?.results[key.status, default: 0] += max(0, cell.count - before.count)
        totals[key.task]?.retries += max(0, cell.retries - before.retries)
        guard let index = key.durationIndex, (0...configuration.durationBounds.count).contains(index) else { return }
        totals[key.task]?.durationCounts[index] += max(0, cell.count - before.count)
        totals[key.task]?.durationSum += max(0, cell.durationSum - before.durationSum)
    }

    /// The name under which a task is counted; makes it known.
    private mutating func name(_ task: String) -> String {
        if totals[task] != nil { return task }
        let isFull = totals.count >= configuration.maximumNames
        if isFull { foldedNames += 1 }
        let name = isFull ? Self.otherName : task
        if totals[name] == nil {
            totals[name] = Totals(durationCounts: Array(repeating: 0, count: configuration.durationBounds.count + 1))
        }
        return name
    }
}
