/// Counts of ended tasks in buckets of time over their completion, and the counters made of them.
///
/// A collection reads only the last few buckets again: rows appear late (a transaction that commits after its own
/// completion time, a worker with a slow clock). What a cell has grown by since it was last read is added to the counters;
/// what it has lost is not taken away. So they stay monotone, and exact, when rows are deleted and others come in their
/// place, and when a task of the same id runs again and its row moves to another cell.
struct TaskRing {
    static let bucketSeconds: Int64 = 10
    /// Buckets stay open for this long.
    static let lateness: Int64 = 120
    /// Rows that claim to have ended later than this from now are left until their time has come.
    static let maximumFuture: Int64 = 600
    /// After an outage of the source no more than this is caught up with.
    static let maximumBackfill: Int64 = 6 * 3600
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
        /// The class of the exception of failed tasks.
        var exception: String?
    }

    private struct Key: Hashable {
        let task: String
        let status: String
        let durationIndex: Int?
        let exception: String?
    }

    private struct Amounts {
        var count = 0
        var durationSum = 0.0
        var retries = 0

        static func += (left: inout Amounts, right: Amounts) {
            left.count += right.count
            left.durationSum += right.durationSum
            left.retries += right.retries
        }

        func growth(since before: Amounts) -> Amounts {
            Amounts(
                count: max(0, count - before.count),
                durationSum: max(0, durationSum - before.durationSum),
                retries: max(0, retries - before.retries)
            )
        }
    }

    private struct Cell {
        /// What the table held when it was last read.
        var read = Amounts()
        /// All that was ever seen to come, for the windows.
        var accumulated = Amounts()
    }

    private struct Totals {
        var results: [String: Int] = ["SUCCESS": 0, "FAILURE": 0, "REVOKED": 0]
        var durationCounts: [Int]
        var durationSum = 0.0
        var retries = 0
        var errors: [String: Int] = [:]
        var inProgress: [String: Int] = [:]

        /// Applications make states of their own, perhaps one for each percent.
        private static let maximumStates = 20

        mutating func add(_ count: Int, inProgress status: String) {
            let isKept = inProgress[status] != nil || inProgress.count < Self.maximumStates
            inProgress[isKept ? status : "OTHER", default: 0] += count
        }
    }

    private let configuration: TaskConfiguration
    private let cap: LabelCap
    private var buckets: [Int64: [Key: Cell]] = [:]
    private var totals: [String: Totals] = [:]
    private var lastObservation: Int64?
    /// After an outage of the source: from where to read until when, since records that waited for it come later still.
    private var catchingUp: (from: Int64, until: Int64)?

    /// - Parameter cap: bounds the names, together with those of other tables.
    init(configuration: TaskConfiguration, cap: LabelCap) {
        self.configuration = configuration
        self.cap = cap
    }

    /// From which completion time (Unix seconds) to read at `now`: all windows at first, the open buckets afterwards.
    func start(at now: Int64) -> Int64 {
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        var start = lastObservation.map { $0 - Self.lateness } ?? (now - max(longest, Self.lateness))
        if let catchingUp, now <= catchingUp.until { start = min(start, catchingUp.from) }
        return max(start, now - Self.maximumBackfill) / Self.bucketSeconds * Self.bucketSeconds
    }

    /// Takes in all groups from `start(at: now)` on, and the tasks in progress.
    ///
    /// - Parameter isComplete: whether all groups are there; cells that are missing otherwise say nothing.
    mutating func observe(
        _ rows: [Row],
        inProgress: [(task: String, status: String, count: Int)],
        at now: Int64,
        isComplete: Bool = true
    ) {
        let isBaseline = lastObservation == nil
        // Rows of several names may be folded into one cell, so add them up first.
        var read: [Int64: [Key: Amounts]] = [:]
        for row in rows {
            let key = Key(
                task: name(row.task),
                status: row.status,
                durationIndex: row.durationIndex,
                exception: row.exception.map(cap.exception)
            )
            let amounts = Amounts(count: row.count, durationSum: row.durationSum, retries: row.retries)
            read[row.bucket, default: [:]][key, default: Amounts()] += amounts
        }
        // Cells that were read again and are gone hold nothing now.
        let first = start(at: now) / Self.bucketSeconds
        for bucket in buckets.keys where bucket >= first && isComplete {
            for key in buckets[bucket]?.keys.map({ $0 }) ?? [] where read[bucket]?[key] == nil {
                buckets[bucket]?[key]?.read = Amounts()
            }
        }
        for (bucket, cells) in read {
            for (key, amounts) in cells {
                let growth = amounts.growth(since: buckets[bucket]?[key]?.read ?? Amounts())
                // What is known at the start counts from 0, so that its first increase shows.
                count(isBaseline ? Amounts() : growth, of: key)
                buckets[bucket, default: [:]][key, default: Cell()].accumulated += growth
                buckets[bucket]?[key]?.read = amounts
            }
        }
        for task in totals.keys {
            for status in totals[task]?.inProgress.keys.map({ $0 }) ?? [] { totals[task]?.inProgress[status] = 0 }
        }
        for group in inProgress { totals[name(group.task)]?.add(group.count, inProgress: group.status) }

        if let before = lastObservation, now - before > Self.lateness / 2 {
            catchingUp = (before - Self.lateness, now + Self.lateness)
        }
        lastObservation = now
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        // Cells that may be read again must be remembered, or they would count twice.
        let oldest = min(now - longest, start(at: now)) / Self.bucketSeconds - 1
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
                errors: totals.errors,
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
                    ended[key.task, default: 0] += cell.accumulated.count
                    if key.status == "SUCCESS" { successes[key.task, default: 0] += cell.accumulated.count }
                }
            }
            for (task, count) in ended where count > 0 {
                let ratio = SuccessRatio(window: window, successes: successes[task] ?? 0, ended: count)
                ratios[task, default: []].append(ratio)
            }
        }
        return ratios
    }

    private mutating func count(_ growth: Amounts, of key: Key) {
        totals[key.task]?.results[key.status, default: 0] += growth.count
        totals[key.task]?.retries += growth.retries
        if let exception = key.exception { totals[key.task]?.errors[exception, default: 0] += growth.count }
        guard let index = key.durationIndex, (0...configuration.durationBounds.count).contains(index) else { return }
        totals[key.task]?.durationCounts[index] += growth.count
        totals[key.task]?.durationSum += growth.durationSum
    }

    /// The name under which a task is counted; makes it known.
    private mutating func name(_ task: String) -> String {
        if totals[task] != nil { return task }
        let name = cap.task(task)
        if totals[name] == nil {
            totals[name] = Totals(durationCounts: Array(repeating: 0, count: configuration.durationBounds.count + 1))
        }
        return name
    }
}
