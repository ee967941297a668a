import Testing

@testable import Celery

@Suite struct TaskRingTests {
    private static let now: Int64 = 1_795_222_000

    private var configuration = TaskConfiguration()

    init() {
        configuration.durationBounds = [1, 10]
        configuration.maximumNames = 3
    }

    /// A group that ended `age` seconds before now.
    private func row(
        _ task: String,
        _ status: String = "SUCCESS",
        age: Int64 = 5,
        count: Int = 1,
        index: Int? = 0,
        sum: Double = 0.5,
        retries: Int = 0
    ) -> TaskRing.Row {
        TaskRing.Row(
            bucket: (Self.now - age) / 10,
            task: task,
            status: status,
            durationIndex: index,
            count: count,
            durationSum: sum,
            retries: retries
        )
    }

    private func aggregate(_ ring: TaskRing, _ name: String, at now: Int64 = now) -> TaskAggregate? {
        var ring = ring
        return ring.aggregates(at: now).first { $0.name == name }
    }

    @Test func whatEndedBeforeTheStartIsNotCountedButFillsTheWindows() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        #expect(ring.start(at: Self.now) == Self.now - 3600)
        ring.observe([row("a", count: 3), row("a", "FAILURE", age: 1000)], inProgress: [], at: Self.now)
        let a = try #require(aggregate(ring, "a"))
        #expect(a.results == ["SUCCESS": 0, "FAILURE": 0, "REVOKED": 0])
        #expect(a.durationCounts == [0, 0, 0])
        #expect(a.successRatios.map(\.ratio) == [1, 0.75])
        #expect(a.successRatios.map(\.window.name) == ["5m", "1h"])
    }

    @Test func growthIsCountedOnceHoweverOftenItIsRead() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        #expect(ring.start(at: Self.now + 10) == Self.now - 120)
        for count in [1, 4, 4] {
            ring.observe(
                [
                    row("a", count: count, sum: 0.5 * Double(count), retries: count), row("a", index: 2, sum: 99),
                    row("a", index: nil),
                ],
                inProgress: [],
                at: Self.now
            )
        }
        let a = try #require(aggregate(ring, "a"))
        #expect(a.results["SUCCESS"] == 6)
        #expect(a.durationCounts == [4, 0, 1])
        #expect(a.durationSum == 101)
        #expect(a.retries == 4)
    }

    @Test func deletedRowsAndSecondRunsDoNotLowerAnything() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        ring.observe([row("a", "FAILURE", age: 25)], inProgress: [], at: Self.now)
        // The same task ran again: its row moved to another bucket and state.
        ring.observe([row("a", "SUCCESS", age: 5)], inProgress: [], at: Self.now)
        // Everything was deleted, and something else ended in the same bucket.
        ring.observe([], inProgress: [], at: Self.now)
        ring.observe([row("a", "SUCCESS", age: 5)], inProgress: [], at: Self.now)
        let a = try #require(aggregate(ring, "a"))
        #expect(a.results == ["SUCCESS": 2, "FAILURE": 1, "REVOKED": 0])
        #expect(a.successRatios.map(\.ratio) == [2.0 / 3, 2.0 / 3])
    }

    @Test func windowsForgetAndAreThenAbsent() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([row("a", "FAILURE"), row("a", "REVOKED")], inProgress: [], at: Self.now)
        #expect(aggregate(ring, "a")?.successRatios.map(\.ratio) == [0, 0])
        #expect(aggregate(ring, "a", at: Self.now + 310)?.successRatios.map(\.window.name) == ["1h"])
        ring.observe([], inProgress: [], at: Self.now + 3700)
        #expect(aggregate(ring, "a", at: Self.now + 3700)?.successRatios == [])
    }

    @Test func statesInProgressStayWithZero() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [("a", "STARTED", 2), ("a", "RETRY", 1)], at: Self.now)
        ring.observe([], inProgress: [("a", "STARTED", 1)], at: Self.now)
        #expect(aggregate(ring, "a")?.inProgress == ["STARTED": 1, "RETRY": 0])
    }

    @Test func namesBeyondTheBoundAreFolded() {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        ring.observe((0..<5).map { row("task-\($0)", count: 2) }, inProgress: [("task-9", "STARTED", 1)], at: Self.now)
        let aggregates = ring.aggregates(at: Self.now)
        #expect(aggregates.map(\.name) == ["other", "task-0", "task-1", "task-2"])
        #expect(aggregates.map { $0.results["SUCCESS"] } == [4, 2, 2, 2])
        #expect(aggregates[0].inProgress == ["STARTED": 1])
        #expect(cap.folded == 3)
    }

    @Test func anOutageIsCaughtUpWith() {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        #expect(ring.start(at: Self.now + 1800) == Self.now - 120)
        ring.observe([row("a", age: -60)], inProgress: [], at: Self.now + 1800)
        // Records that waited for the database come after it is back.
        #expect(ring.start(at: Self.now + 1810) == Self.now - 120)
        ring.observe([row("a", age: -60, count: 3)], inProgress: [], at: Self.now + 1810)
        #expect(aggregate(ring, "a")?.results["SUCCESS"] == 3)
        #expect(ring.start(at: Self.now + 1930) == Self.now + 1690)
        #expect(ring.start(at: Self.now + 100_000) == Self.now + 100_000 - 6 * 3600)
    }

    @Test func whatWasNotAskedForIsDropped() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        let strays = [Int64.min, -1, 0, (Self.now - 200) / 10, (Self.now + 700) / 10, .max].map { bucket in
            var row = row("a")
            row.bucket = bucket
            return row
        }
        for _ in 1...2 { ring.observe(strays + [row("b")], inProgress: [], at: Self.now) }
        #expect(ring.aggregates(at: Self.now).map(\.name) == ["b"])
        #expect(aggregate(ring, "b")?.results["SUCCESS"] == 1)
    }

    @Test func cellsThatAreGoneAreForgottenAndStayInTheWindows() throws {
        var configuration = configuration
        configuration.maximumExceptions = .max
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        // Each reading shows other exceptions, as a view with random() does; so many would not fit together.
        for reading in 0..<5 {
            ring.begin(at: Self.now)
            for number in 0..<TaskRing.maximumCells / 3 {
                var row = row("a", "FAILURE", age: Int64(number % 90))
                row.exception = "\(reading) \(number)"
                ring.add(row)
            }
            let isComplete = ring.end(at: Self.now)
            #expect(isComplete)
        }
        let failures = try #require(aggregate(ring, "a")?.results["FAILURE"])
        #expect(failures == 5 * (TaskRing.maximumCells / 3))
        #expect(aggregate(ring, "a")?.successRatios.map(\.ended) == [failures, failures])
    }

    @Test func cellsBeyondTheBoundAreToldAndNotCounted() {
        var configuration = configuration
        configuration.maximumExceptions = .max
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        ring.begin(at: Self.now)
        for number in 0...TaskRing.maximumCells {
            var row = row("a", "FAILURE", index: nil)
            row.exception = String(number)
            ring.add(row)
        }
        let isComplete = ring.end(at: Self.now)
        #expect(!isComplete)
        #expect(aggregate(ring, "a")?.results["FAILURE"] == TaskRing.maximumCells)
    }

    @Test func amountsBeyondReasonEndNothing() throws {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        for count in [Int.max, .min, 0, .max] {
            let index = count == 0 ? Int.max : 1
            let sum = count == 0 ? Double.infinity : .nan
            let rows = [
                row("a", count: count, index: index, sum: sum, retries: count), row("a", count: .max, retries: .max),
            ]
            ring.observe(rows + rows, inProgress: [("a", "STARTED", .max), ("a", "STARTED", .min)], at: Self.now)
        }
        let a = try #require(aggregate(ring, "a"))
        #expect(a.results["SUCCESS"] == Int.largestCount)
        #expect(a.retries == Int.largestCount)
        #expect(a.inProgress == ["STARTED": Int.largestCount])
        var twice = a
        twice.add(a)
        #expect(twice.results == a.results)
    }

    @Test func aClockThatIsSetBackCountsNothingTwice() {
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        ring.observe([row("a")], inProgress: [], at: Self.now)
        ring.observe([], inProgress: [], at: Self.now + 7200)
        ring.observe([row("a")], inProgress: [], at: Self.now + 60)
        #expect(aggregate(ring, "a")?.results["SUCCESS"] == 1)
        ring.observe([row("a"), row("a", age: -65)], inProgress: [], at: Self.now + 70)
        #expect(aggregate(ring, "a")?.results["SUCCESS"] == 2)
    }

    @Test func failuresByException() throws {
        var configuration = configuration
        configuration.maximumExceptions = 1
        let cap = LabelCap(configuration)
        var ring = TaskRing(configuration: configuration, cap: cap)
        ring.observe([], inProgress: [], at: Self.now)
        func failed(_ exception: String, _ count: Int) -> TaskRing.Row {
            var row = row("a", "FAILURE", count: count)
            row.exception = exception
            return row
        }
        ring.observe([failed("ValueError", 2), failed("Other", 1), failed("Third", 1)], inProgress: [], at: Self.now)
        ring.observe([failed("ValueError", 3), failed("Third", 5)], inProgress: [], at: Self.now + 1)
        let a = try #require(aggregate(ring, "a"))
        #expect(a.errors == ["ValueError": 3, "other": 5])
        #expect(a.results["FAILURE"] == 8)
        #expect(cap.folded == 3)
    }

    /// What two tables tell of the same task.
    @Test func tablesAddUp() {
        let window = TaskWindow(name: "5m", seconds: 300)
        let hour = TaskWindow(name: "1h", seconds: 3600)
        var one = TaskAggregate(
            name: "a",
            results: ["SUCCESS": 1, "FAILURE": 0],
            successRatios: [SuccessRatio(window: window, successes: 1, ended: 1)],
            durationCounts: nil,
            durationSum: 0,
            retries: nil,
            errors: [:],
            inProgress: ["STARTED": 1]
        )
        one.add(
            TaskAggregate(
                name: "a",
                results: ["SUCCESS": 2, "FAILURE": 1],
                successRatios: [
                    SuccessRatio(window: window, successes: 2, ended: 3),
                    SuccessRatio(window: hour, successes: 2, ended: 3),
                ],
                durationCounts: [1, 2],
                durationSum: 4,
                retries: 7,
                errors: ["E": 1],
                inProgress: ["RETRY": 2]
            )
        )
        #expect(
            one
                == TaskAggregate(
                    name: "a",
                    results: ["SUCCESS": 3, "FAILURE": 1],
                    successRatios: [
                        SuccessRatio(window: window, successes: 3, ended: 4),
                        SuccessRatio(window: hour, successes: 2, ended: 3),
                    ],
                    durationCounts: [1, 2],
                    durationSum: 4,
                    retries: 7,
                    errors: ["E": 1],
                    inProgress: ["STARTED": 1, "RETRY": 2]
                )
        )
    }
}
