import Testing

@testable import Celery

@Suite struct PipelineTrackerTests {
    private static let start = 1_795_222_000.0

    private var configuration = TaskConfiguration()

    init() {
        configuration.durationBounds = [10]
        configuration.maximumNames = 2
    }

    private func reading(
        _ root: String,
        task: String? = "first",
        members: Int = 3,
        succeeded: Int = 0,
        failed: Int = 0,
        total: Int? = 3,
        began: Double = 0,
        ended: Double? = nil,
        failure: Double? = nil
    ) -> PipelineReading {
        PipelineReading(
            root: root,
            rootTask: task,
            members: members,
            succeeded: succeeded,
            failed: failed,
            total: total,
            start: Self.start + began,
            end: ended.map { Self.start + $0 },
            failure: failure.map { Self.start + $0 }
        )
    }

    @Test func numbersBeyondReasonEndNothing() {
        var tracker = PipelineTracker(configuration: configuration)
        let numbers = [Int.min, -1, 0, 1 << 53, .max]
        let times: [Double] = [-1e11, 0, 1e11, 1e308, -1e308]
        for (index, number) in numbers.enumerated() {
            for time in times {
                let reading = PipelineReading(
                    root: "\(index) \(time)",
                    rootTask: "first",
                    members: number,
                    succeeded: number,
                    failed: numbers[numbers.count - 1 - index],
                    total: number,
                    start: -time,
                    end: time,
                    failure: time
                )
                _ = observe(&tracker, at: Double(index), reading)
            }
        }
        #expect(observe(&tracker, at: 99, reading("r", failed: 1, failure: 98)).first?.results["FAILURE"] != nil)
    }

    private func observe(
        _ tracker: inout PipelineTracker,
        at time: Double,
        _ readings: PipelineReading...
    ) -> [PipelineAggregate] {
        tracker.observe(readings, at: Self.start + time)
        return tracker.state(at: Self.start + time).pipelines
    }

    @Test func aChainIsOverWhenAllItsMembersSucceeded() throws {
        var tracker = PipelineTracker(configuration: configuration)
        #expect(observe(&tracker, at: 0).isEmpty)
        let running = observe(&tracker, at: 1, reading("r", members: 1, succeeded: 1, ended: 1))
        #expect(running.map(\.inProgress) == [1])
        #expect(running.map(\.results) == [["SUCCESS": 0, "FAILURE": 0]])
        #expect(tracker.openRoots == ["r"])
        for time in [20.0, 30] {
            let done = try #require(observe(&tracker, at: time, reading("r", succeeded: 3, ended: 15)).first)
            #expect(done.results == ["SUCCESS": 1, "FAILURE": 0])
            #expect(done.inProgress == 0)
            #expect(done.durationCounts == [0, 1])
            #expect(done.durationSum == 15)
            #expect(done.completionRatios.map(\.ratio) == [1, 1])
        }
        #expect(tracker.openRoots.isEmpty)
    }

    /// Rows that say PENDING for ever do not bring it back.
    @Test func withoutNewsItIsForgottenAfterADay() {
        var tracker = PipelineTracker(configuration: configuration)
        let stuck = reading("r", members: 2, succeeded: 1, ended: 1)
        #expect(observe(&tracker, at: 0, stuck).map(\.inProgress) == [1])
        #expect(observe(&tracker, at: 86_400, stuck).map(\.inProgress) == [1])
        #expect(observe(&tracker, at: 86_402, stuck).map(\.inProgress) == [0])
        #expect(observe(&tracker, at: 86_412, stuck).map(\.inProgress) == [0])
        #expect(tracker.openRoots.isEmpty)
    }

    @Test func oneFailureEndsIt() {
        var tracker = PipelineTracker(configuration: configuration)
        _ = observe(&tracker, at: 0)
        let failed = reading("r", succeeded: 1, failed: 1, ended: 9, failure: 5)
        #expect(observe(&tracker, at: 9, failed).map(\.results) == [["SUCCESS": 0, "FAILURE": 1]])
        // A member that was retried by hand, say, does not make it a success.
        let mended = reading("r", succeeded: 3, ended: 20)
        #expect(observe(&tracker, at: 21, mended).map(\.results) == [["SUCCESS": 0, "FAILURE": 1]])
    }

    /// The next member may be on its way.
    @Test func withoutANumberItIsOverWhenNothingFollows() {
        var tracker = PipelineTracker(configuration: configuration)
        _ = observe(&tracker, at: 0)
        let quiet = reading("r", members: 2, succeeded: 2, total: nil, ended: 4)
        #expect(observe(&tracker, at: 5, quiet).map(\.inProgress) == [1])
        #expect(observe(&tracker, at: 14, quiet).map(\.results) == [["SUCCESS": 1, "FAILURE": 0]])
        // A single task is none.
        let single = reading("s", members: 1, succeeded: 1, total: nil, ended: 4)
        #expect(observe(&tracker, at: 30, single).first?.results == ["SUCCESS": 1, "FAILURE": 0])
    }

    @Test func whatEndedBeforeTheStartFillsTheWindowsAlone() throws {
        var tracker = PipelineTracker(configuration: configuration)
        let ended = reading("r", succeeded: 3, began: -2000, ended: -1000)
        let failed = reading("s", failed: 1, began: -200, ended: -100, failure: -100)
        let first = try #require(observe(&tracker, at: 0, ended, failed).first)
        #expect(first.results == ["SUCCESS": 0, "FAILURE": 0])
        #expect(first.completionRatios.map(\.window.name) == ["5m", "1h"])
        #expect(first.completionRatios.map(\.ratio) == [0, 0.5])
        #expect(first.durationSum == 0)
    }

    @Test func whatIsForgottenAndFolded() {
        var tracker = PipelineTracker(configuration: configuration)
        _ = observe(&tracker, at: 0)
        let readings = [
            reading("1", task: "a"), reading("2", task: "b"), reading("3", task: "c"), reading("4", task: nil),
        ]
        // The first task of the last may still be recorded.
        #expect(observe(&tracker, at: 1, readings[0], readings[1], readings[3]).map(\.rootTask) == ["a", "b"])
        #expect(Set(tracker.openRoots) == ["1", "2", "4"])
        let many = observe(&tracker, at: 121, readings[0], readings[1], readings[2], readings[3])
        #expect(many.map(\.rootTask) == ["a", "b", "other"])
        #expect(many.map(\.inProgress) == [1, 1, 2])
        // Nobody has heard of one for a day, and the rows of the others are gone.
        #expect(observe(&tracker, at: 90_000, reading("1", task: "a")).map(\.inProgress) == [0, 0, 0])
        #expect(tracker.openRoots.isEmpty)
    }
}
