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

    private let configuration: TaskConfiguration
    private let cap: LabelCap
    private var cells: [Int64: [Key: Cell]] = [:]
    private var cellCount = 0
    /// All ended tasks that were ever seen to come, as far back as the longest window.
    private var ended: [Int64: [Int: Ended]] = [:]
    private var windows: [WindowSums]
    /// The first bucket that may be read again.
    private var firstOpen = Int64.min
    /// Of the tasks in the order in which they became known: their numbers.
    private var totals: [Totals] = []
    private var numbers: [String: Int] = [:]
    private var lastObservation: Int64?
    /// After an outage of the source: from where to read until when, since records that waited for it come later still.
    private var catchingUp: (from: Int64, until: Int64)?
    /// The reading that goes on.
    private var reading: Reading?

    private struct Reading {
        let buckets: ClosedRange<Int64>
        /// Buckets before this one are over with this reading.
        let firstOpen: Int64
        /// Whether what ended before counts from 0, so that its first increase shows.
        let isBaseline: Bool
        var isFull = false
        /// Tasks in progress by number and state.
        var inProgress: [Int: [String: Int]] = [:]
    }

    /// Cells that are remembered, some 200 bytes each.
    static let maximumCells = 200_000

    /// - Parameter cap: bounds the names, together with those of other tables.
    init(configuration: TaskConfiguration, cap: LabelCap) {
        self.configuration = configuration
        self.cap = cap
        windows = configuration.windows.map(WindowSums.init)
    }

    /// From which completion time (Unix seconds) to read at `now`: all windows at first, the open buckets afterwards.
    func start(at now: Int64) -> Int64 {
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        var start = lastObservation.map { $0 - Self.lateness } ?? (now - max(longest, Self.lateness))
        if let catchingUp, now <= catchingUp.until { start = min(start, catchingUp.from) }
        start = max(start, now - Self.maximumBackfill) / Self.bucketSeconds
        return max(start, firstOpen) * Self.bucketSeconds
    }

    /// Begins to take in all groups from `start(at: now)` on; a reading that has not ended is forgotten.
    mutating func begin(at now: Int64) {
        if let lastObservation, now < lastObservation - Self.lateness { startAgain() }
        if reading != nil {
            for bucket in cells.keys {
                for key in cells[bucket]?.keys.map({ $0 }) ?? [] { cells[bucket]?[key]?.reading = Amounts() }
            }
        }
        let first = start(at: now) / Self.bucketSeconds
        reading = Reading(
            buckets: first...max(first, (now + Self.maximumFuture) / Self.bucketSeconds),
            firstOpen: (now - Self.lateness) / Self.bucketSeconds,
            isBaseline: lastObservation == nil
        )
    }

    /// Takes in a group. What was not asked for is dropped: it would be counted again with each reading.
    mutating func add(_ row: Row) {
        guard let reading, reading.buckets.contains(row.bucket) else { return }
        let status = TaskTable.finalStates.firstIndex(of: row.status) ?? TaskTable.finalStates.count
        let index = row.durationIndex.flatMap { (0...configuration.durationBounds.count).contains($0) ? $0 : nil }
        let key = Key(
            task: number(row.task),
            status: Int8(status),
            durationIndex: index.map { Int16(clamping: $0) },
            exception: row.exception.map(cap.exception)
        )
        // Rows of several names may be folded into one cell, so they are added up first.
        var amounts = Amounts()
        amounts += Amounts(count: row.count, durationSum: row.durationSum, retries: row.retries)
        if reading.isBaseline, row.bucket < reading.firstOpen {
            count(Amounts(), of: key)
            note(amounts.count, of: key, in: row.bucket)
            return
        }
        if cells[row.bucket]?[key] == nil {
            guard cellCount < Self.maximumCells else {
                self.reading?.isFull = true
                return
            }
            cellCount += 1
        }
        cells[row.bucket, default: [:]][key, default: Cell()].reading += amounts
    }

    /// Takes in tasks in progress.
    mutating func add(inProgress count: Int, of task: String, _ status: String) {
        guard reading != nil else { return }
        let number = number(task)
        let states = reading?.inProgress[number]
        let isKept = states?[status] != nil || Totals.hasRoom(states ?? [:])
        reading?.inProgress[number, default: [:]][isKept ? status : TaskTable.otherState, default: 0].count(count)
    }

    /// Ends a reading.
    ///
    /// - Parameter isComplete: whether all groups are there; cells that are missing otherwise say nothing.
    /// - Returns: whether all groups could be taken in.
    @discardableResult
    mutating func end(at now: Int64, isComplete: Bool = true) -> Bool {
        guard let reading else { return false }
        self.reading = nil
        for bucket in cells.keys where reading.buckets.contains(bucket) {
            close(bucket, reading, isComplete: isComplete && !reading.isFull)
        }
        for task in totals.indices {
            totals[task].inProgress = totals[task].inProgress.mapValues { _ in 0 }
        }
        for (task, states) in reading.inProgress {
            for (status, count) in states { totals[task].add(count, inProgress: status) }
        }

        if let before = lastObservation, now - before > Self.lateness / 2 {
            catchingUp = (before - Self.lateness, now + Self.lateness)
        }
        lastObservation = now
        forget(at: now)
        return !reading.isFull
    }

    /// Takes in all groups of a reading, and the tasks in progress.
    mutating func observe(
        _ rows: [Row],
        inProgress: [(task: String, status: String, count: Int)],
        at now: Int64,
        isComplete: Bool = true
    ) {
        begin(at: now)
        for row in rows { add(row) }
        for group in inProgress { add(inProgress: group.count, of: group.task, group.status) }
        end(at: now, isComplete: isComplete)
    }

    /// Counts what the cells of a bucket have grown by. Those that are gone hold nothing from now on.
    private mutating func close(_ bucket: Int64, _ reading: Reading, isComplete: Bool) {
        guard var cells = cells[bucket] else { return }
        self.cells[bucket] = nil
        var gone: [Key] = []
        var index = cells.startIndex
        while index != cells.endIndex {
            defer { cells.formIndex(after: &index) }
            let (key, cell) = cells[index]
            let isThere = cell.reading.count > 0
            if isThere {
                let growth = cell.reading.growth(since: cell.read)
                if cell.read.count == 0 || growth != Amounts() {
                    count(reading.isBaseline ? Amounts() : growth, of: key)
                    note(growth.count, of: key, in: bucket)
                }
            }
            if isThere || isComplete { cells.values[index].read = cell.reading }
            cells.values[index].reading = Amounts()
            if cells.values[index].read.count == 0 { gone.append(key) }
        }
        for key in gone { cells[key] = nil }
        cellCount -= gone.count
        if !cells.isEmpty { self.cells[bucket] = cells }
    }

    /// Keeps no more of buckets than may be asked for.
    private mutating func forget(at now: Int64) {
        firstOpen = max(firstOpen, start(at: now) / Self.bucketSeconds)
        for bucket in cells.keys where bucket < firstOpen {
            cellCount -= cells[bucket]?.count ?? 0
            cells[bucket] = nil
        }
        moveWindows(to: now)
        let longest = configuration.windows.map(\.seconds).max() ?? 0
        let oldest = (now - longest) / Self.bucketSeconds - 1
        for bucket in ended.keys where bucket < oldest { ended[bucket] = nil }
    }

    /// The source's clock was set back: nothing of what was read says what would be new.
    private mutating func startAgain() {
        (cells, cellCount, ended, firstOpen) = ([:], 0, [:], .min)
        windows = configuration.windows.map(WindowSums.init)
        (lastObservation, catchingUp) = (nil, nil)
    }

    private mutating func note(_ count: Int, of key: Key, in bucket: Int64) {
        guard let isSuccess = key.isSuccess, count > 0 else { return }
        let growth = ended[bucket, default: [:]][key.task, default: Ended()].add(count, isSuccess: isSuccess)
        for index in windows.indices { windows[index].add(growth, of: key.task, in: bucket) }
    }

    private mutating func moveWindows(to now: Int64) {
        for index in windows.indices { windows[index].move(to: now, over: ended) }
    }

    mutating func aggregates(at now: Int64) -> [TaskAggregate] {
        moveWindows(to: now)
        return numbers.sorted { $0.key < $1.key }.map { name, number in
            let totals = totals[number]
            return TaskAggregate(
                name: name,
                results: totals.results,
                successRatios: windows.compactMap { $0.ratio(of: number) },
                durationCounts: totals.durationCounts,
                durationSum: totals.durationSum,
                retries: totals.retries,
                errors: totals.errors,
                inProgress: totals.inProgress
            )
        }
    }

    private mutating func count(_ growth: Amounts, of key: Key) {
        totals[key.task].results[key.state, default: 0].count(growth.count)
        totals[key.task].retries.count(growth.retries)
        if let exception = key.exception { totals[key.task].errors[exception, default: 0].count(growth.count) }
        guard let index = key.durationIndex.map(Int.init) else { return }
        totals[key.task].durationCounts[index].count(growth.count)
        totals[key.task].durationSum += growth.durationSum
    }

    /// The number under which a task is counted; makes it known.
    private mutating func number(_ task: String) -> Int {
        if let number = numbers[task] { return number }
        let name = cap.task(task)
        if let number = numbers[name] { return number }
        numbers[name] = totals.count
        totals.append(Totals(durationCounts: Array(repeating: 0, count: configuration.durationBounds.count + 1)))
        return totals.count - 1
    }
}
