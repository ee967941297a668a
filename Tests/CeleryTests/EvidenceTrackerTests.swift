import Testing
import TimeZones

@testable import Celery

@Suite struct EvidenceTrackerTests {
    private static let start = 1_795_221_900.0  // 00:45 UTC

    private let often = ExpectedEntry(name: "often", task: "a", timing: .interval(seconds: 10), tolerance: 5)
    private let hourly = ExpectedEntry(
        name: "hourly",
        task: "b",
        timing: .crontab(Crontab(minute: "0") ?? { fatalError("a crontab") }(), .utc),
        tolerance: 60
    )

    private func observe(
        _ tracker: inout EvidenceTracker,
        at time: Double,
        _ runs: [String: Double] = [:],
        searchedFrom: Double = 0
    ) -> BeatState {
        tracker.observe(
            EvidenceReading(
                time: Self.start + time,
                runs: runs.mapValues { Self.start + $0 },
                searchedFrom: Self.start + searchedFrom
            )
        )
    }

    private func relative(_ time: Double?) -> Double? {
        time.map { $0 - Self.start }
    }

    @Test func aliveWhileWhatIsDueRuns() {
        var tracker = EvidenceTracker(entries: [often], grace: 2)
        let alive = observe(&tracker, at: 3, ["a": 1, "stranger": 2])
        #expect(
            alive
                == BeatState(
                    time: Self.start + 3,
                    isUp: true,
                    heartbeat: Self.start + 1,
                    deadline: Self.start + 16,
                    grace: 2,
                    schedule: ScheduleState(
                        entries: [
                            BeatEntryState(
                                name: "often",
                                task: "a",
                                isEnabled: true,
                                lastRun: Self.start + 1,
                                nextDue: Self.start + 11,
                                overdue: 0
                            )
                        ],
                        entryCount: 1,
                        disabledCount: 0,
                        invalidCount: 0,
                        nextDue: Self.start + 11,
                        lastTaskTime: Self.start + 1
                    )
                )
        )
        #expect(observe(&tracker, at: 18).isUp == true)
        let dead = observe(&tracker, at: 18.5)
        #expect(dead.isUp == false)
        #expect(dead.schedule?.entries.first?.overdue == 7.5)
        // It ran all the while, but the table told late.
        #expect(observe(&tracker, at: 19, ["a": 11]).isUp == true)
        // An older run is no news.
        #expect(relative(observe(&tracker, at: 19, ["a": 5]).heartbeat) == 11)
    }

    @Test func nothingSeenAndNothingDueIsUnknown() {
        var tracker = EvidenceTracker(entries: [often, hourly], grace: 2)
        #expect(observe(&tracker, at: 16.9).isUp == nil)
        #expect(observe(&tracker, at: 17.1).isUp == false)
        #expect(observe(&tracker, at: 17.1).heartbeat == nil)
    }

    /// A task whose queue has no worker, say.
    @Test func oneEntryThatDoesNotRunWhileOthersDo() {
        var tracker = EvidenceTracker(entries: [often, hourly], grace: 2)
        _ = observe(&tracker, at: 1, ["a": 1, "b": 1])
        for time in stride(from: 10.0, to: 3000, by: 10) { _ = observe(&tracker, at: time, ["a": time]) }
        let state = observe(&tracker, at: 3000, ["a": 2999])
        #expect(state.isUp == true)
        #expect(relative(state.deadline) == 3014)
        // 01:00 was 900 s after the start.
        #expect(state.schedule?.entries.map(\.overdue) == [2100, 0])
    }

    @Test func theClocksOfWorkersMayBeAhead() {
        var tracker = EvidenceTracker(entries: [often], grace: 2)
        #expect(relative(observe(&tracker, at: 3, ["a": 400]).heartbeat) == 3)
    }

    @Test func searchEndsOnceNothingIsOpen() {
        var tracker = EvidenceTracker(entries: [often, hourly], grace: 2)
        let now = Self.start
        #expect(!tracker.isSettled(searchedFrom: now - 12, at: now))
        // `often` must have run within a quarter of an hour, `hourly` only within the hour.
        #expect(!tracker.isSettled(searchedFrom: now - 900, at: now))
        #expect(tracker.isSettled(searchedFrom: now - 3600, at: now))
        _ = observe(&tracker, at: 0, ["b": -2700])
        #expect(tracker.isSettled(searchedFrom: now - 900, at: now))
    }
}
