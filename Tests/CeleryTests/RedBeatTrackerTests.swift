import Testing
import TimeZones

@testable import Celery

/// The traps, in the abstract: what each reading must lead to. The live tests meet them with a real beat.
@Suite struct RedBeatTrackerTests {
    /// Of a beat that asked for the lock 100 s before the start.
    private static let token = "8c534400e54411f19fe5b02fc0000000"
    private static let start = 1_795_221_900.0

    private let configuration: RedBeatConfiguration

    init() {
        var configuration = RedBeatConfiguration()
        configuration.lockTimeout = 1500
        self.configuration = configuration
    }

    /// A reading `age` seconds after the tick at `tick`, both relative to a fixed start.
    private func reading(
        tick: Double,
        age: Double,
        _ entries: [RedBeatReading.Entry] = [],
        token: String = token
    ) -> RedBeatReading {
        var reading = RedBeatReading(time: Self.start + tick + age)
        reading.lock = RedBeatReading.Lock(token: token, timeToLive: 1500 - age, idle: nil)
        reading.entries = entries.sorted { $0.score < $1.score }
        reading.entryCount = entries.count
        return reading
    }

    /// An entry that ran last at `lastRun`, with the score that RedBeat gives it unless another is named.
    private func entry(
        _ name: String,
        every seconds: Double,
        lastRun: Double,
        score: Double? = nil,
        isEnabled: Bool = true,
        runs: Int? = 1,
        task: String = "t"
    ) -> RedBeatReading.Entry {
        let runCount = runs.map { #", "total_run_count": \#($0)"# } ?? ""
        let wall = CivilTime(secondsSinceEpoch: Self.start + lastRun)
        let meta = #"""
            {"last_run_at": {"year": \#(wall.year), "month": \#(wall.month), "day": \#(wall.day), "hour": \#(wall.hour),
             "minute": \#(wall.minute), "second": \#(Int(wall.second)),
             "microsecond": \#(Int((wall.second - wall.second.rounded(.down)) * 1e6)), "timezone": "UTC"}\#(runCount)}
            """#
        let definition = #"""
            {"name": "\#(name)", "task": "\#(task)", "enabled": \#(isEnabled),
             "schedule": {"__type__": "interval", "every": \#(seconds), "relative": false}}
            """#
        return RedBeatReading.Entry(
            key: Array(name.utf8),
            score: (Self.start + (score ?? (lastRun + seconds))).rounded(.down),
            content: RedBeatEntry(definition: Array(definition.utf8), meta: Array(meta.utf8))
        )
    }

    private func relative(_ time: Double?) -> Double? {
        time.map { (($0 - Self.start) * 1000).rounded() / 1000 }
    }

    @Test func aliveUntilTheDeadlineAndItsGraceThenDead() {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [entry("a", every: 10, lastRun: 0), entry("b", every: 3600, lastRun: -100)]
        for (age, isUp) in [(1.0, true), (9.9, true), (12.0, true), (12.1, false), (1400, false)] {
            let state = tracker.observe(reading(tick: 0, age: age, entries))
            #expect(state.isUp == isUp, "\(age)")
            #expect(relative(state.heartbeat) == 0)
            #expect(relative(state.deadline) == 10)
            #expect(state.lock == LockState(isHeld: true, timeToLive: 1500 - age, timeout: 1500, acquisitions: 0))
        }
    }

    /// Its lock may be what a beat left that died long ago.
    @Test func aliveOnlyByATimeToLiveIsPreliminary() {
        var configuration = configuration
        configuration.lockTimeout = nil
        var tracker = RedBeatTracker(configuration: configuration)
        for (age, isUp, isPreliminary) in [(200.0, true, true), (400, true, true), (502.1, false, false)] {
            let state = tracker.observe(reading(tick: 0, age: age))
            #expect(state.isUp == isUp, "\(age)")
            #expect(state.isPreliminary == isPreliminary, "\(age)")
        }
        #expect(tracker.observe(reading(tick: 600, age: 1)).isPreliminary == false)
    }

    @Test func withNothingDueTheLoopIntervalIsTheDeadline() {
        var configuration = configuration
        var tracker = RedBeatTracker(configuration: configuration)
        #expect(relative(tracker.observe(reading(tick: 0, age: 1)).deadline) == 300)
        configuration.maxLoopInterval = 5
        tracker = RedBeatTracker(configuration: configuration)
        #expect(relative(tracker.observe(reading(tick: 0, age: 1)).deadline) == 5)
    }

    @Test func aLongerLockTimeoutTellsOfALongerLoopInterval() {
        var configuration = configuration
        configuration.lockTimeout = 6000
        var tracker = RedBeatTracker(configuration: configuration)
        #expect(tracker.observe(reading(tick: 0, age: 0)).maxLoopInterval == 1200)
        configuration.lockTimeout = 60
        tracker = RedBeatTracker(configuration: configuration)
        #expect(tracker.observe(reading(tick: 0, age: 0)).maxLoopInterval == 300)
    }

    /// After a restart scores lie in the past while the entries are truly due later.
    @Test func scoresInThePastAfterARestart() throws {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [entry("daily", every: 86_400, lastRun: -63_623, score: -40_846)]
        let state = tracker.observe(reading(tick: 0, age: 299, entries))
        #expect(state.isUp == true)
        #expect(relative(state.deadline) == 300)
        let daily = try #require(state.schedule?.entries.first)
        #expect(daily.overdue == 0)
        #expect(relative(daily.nextDue) == 22_777.0)
    }

    /// A successor that waits for the lock has written scores anew at its start: from these the dead beat would seem to have
    /// looked at another entry, and to sleep for longer.
    @Test func newScoresAreNoSignOfLife() {
        var tracker = RedBeatTracker(configuration: configuration)
        func reading(age: Double, scores: [Double]) -> RedBeatReading {
            self.reading(
                tick: 0,
                age: age,
                [
                    entry("often", every: 5, lastRun: -2, score: scores[0]),
                    entry("seldom", every: 60, lastRun: -25, score: scores[1]),
                ]
            )
        }
        for (age, scores, isUp) in [(1.0, [3.0, 35], true), (5.1, [3, 35], false), (6.7, [6.7, 3.3], false)] {
            let state = tracker.observe(reading(age: age, scores: scores))
            #expect(state.isUp == isUp, "\(age)")
            #expect(relative(state.deadline) == 3)
        }
    }

    /// Scores that are too early can hide an entry from beat: it looks at one entry ahead only, and sleeps past the other.
    @Test func beatSleepsPastAnEntryItDidNotLookAt() {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [
            entry("looked at", every: 400, lastRun: -170, score: 60), entry("not", every: 100, lastRun: -10, score: 80),
        ]
        let state = tracker.observe(reading(tick: 0, age: 100, entries))
        #expect(relative(state.deadline) == 230)
        #expect(state.isUp == true)
        #expect(state.schedule?.entries.map { (($0.overdue ?? -1) * 1000).rounded() / 1000 } == [0, 10])
    }

    @Test func disabledEntriesPromiseNothing() throws {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [
            entry("off", every: 10, lastRun: -5000, isEnabled: false),
            entry("soon", every: 10, lastRun: -3, isEnabled: false),
        ]
        let state = tracker.observe(reading(tick: 0, age: 200, entries))
        #expect(state.isUp == true)
        #expect(relative(state.deadline) == 300)
        #expect(state.schedule?.disabledCount == 2)
        #expect(state.schedule?.nextDue == nil)
        #expect(state.schedule?.entries.allSatisfy { $0.overdue == 0 } == true)
    }

    @Test func whatIsStoredWhileBeatSleepsDoesNotWakeIt() {
        var tracker = RedBeatTracker(configuration: configuration)
        // Never run and created after the tick, seen at the first reading.
        let added = entry("added", every: 5, lastRun: 20, score: 20, runs: nil)
        #expect(relative(tracker.observe(reading(tick: 0, age: 30, [added])).deadline) == 300)
        // Changed after the tick was first seen.
        let changed = entry("changed", every: 40, lastRun: -1)
        #expect(relative(tracker.observe(reading(tick: 0, age: 60, [changed])).deadline) == 300)
        // At the next tick beat knows them.
        #expect(
            relative(tracker.observe(reading(tick: 300, age: 1, [entry("added", every: 5, lastRun: 300)])).deadline)
                == 305
        )
    }

    /// The token tells that beat asked for the lock at 5.0545, after it had stored its own entries.
    @Test(arguments: [(5.0, 15.0), (5.2, 305.1)])
    func entriesThatBeatItselfStoredAtItsStartAreKnownToIt(stored: Double, deadline: Double) {
        var tracker = RedBeatTracker(configuration: configuration)
        let token = "caf1509ee54411f19e5b02fc00000001"
        let new = entry("new", every: 10, lastRun: stored, score: stored.rounded(.down), runs: nil)
        #expect(relative(tracker.observe(reading(tick: 5.1, age: 1, [new], token: token)).deadline) == deadline)
    }

    /// Two entries that fall due almost together make two ticks; taken for one, the second's deadline would be missed.
    @Test(arguments: [0.01, 0.03, 0.1, 0.3])
    func ticksThatFollowEachOtherClosely(gap: Double) {
        var tracker = RedBeatTracker(configuration: configuration)
        let first = [entry("a", every: 5, lastRun: 0), entry("b", every: 5, lastRun: gap - 5)]
        let second = [entry("a", every: 5, lastRun: 0), entry("b", every: 5, lastRun: gap)]
        #expect(relative(tracker.observe(reading(tick: 0, age: 0.005, first)).deadline) == gap)
        let state = tracker.observe(reading(tick: gap, age: 4, second))
        #expect(relative(state.deadline) == 5)
        #expect(state.isUp == true)
    }

    @Test func aTickThatIsStillSendingIsLookedAtAgain() {
        var tracker = RedBeatTracker(configuration: configuration)
        let unsent = entry("a", every: 10, lastRun: -10)
        #expect(relative(tracker.observe(reading(tick: 0, age: 0.1, [unsent])).deadline) == 5)
        #expect(
            relative(tracker.observe(reading(tick: 0, age: 1.1, [entry("a", every: 10, lastRun: 0.5)])).deadline)
                == 10.5
        )
    }

    @Test func withoutTheLockBeatIsDownButItsHeartbeatIsRemembered() {
        var tracker = RedBeatTracker(configuration: configuration)
        _ = tracker.observe(reading(tick: 0, age: 1))
        var released = RedBeatReading(time: Self.start + 2)
        released.entries = []
        let state = tracker.observe(released)
        #expect(state.isUp == false)
        #expect(state.lock == LockState(isHeld: false, timeToLive: nil, timeout: 1500, acquisitions: 0))
        #expect(relative(state.heartbeat) == 0)
        #expect(relative(state.deadline) == 300)
    }

    @Test func neverSeenIsNotAlive() {
        var tracker = RedBeatTracker(configuration: configuration)
        let state = tracker.observe(RedBeatReading(time: Self.start))
        #expect(state.isUp == false)
        #expect(state.heartbeat == nil)
        #expect(state.deadline == nil)
        #expect(state.startTime == nil)
    }

    @Test func aLockWithoutAnEndIsNoSignOfLife() {
        var tracker = RedBeatTracker(configuration: configuration)
        var reading = RedBeatReading(time: Self.start)
        reading.lock = RedBeatReading.Lock(token: "x", timeToLive: nil, idle: nil)
        let state = tracker.observe(reading)
        #expect(state.isUp == false)
        #expect(state.lock?.isHeld == true)
        #expect(state.heartbeat == nil)
    }

    @Test func ownersAreCountedAsTheyChange() {
        var tracker = RedBeatTracker(configuration: configuration)
        let tokens = ["a", "a", "b", "b", "a"]
        let counts = tokens.enumerated().map { index, token in
            tracker.observe(reading(tick: Double(index), age: 0, token: token)).lock?.acquisitions
        }
        #expect(counts == [0, 0, 1, 1, 2])
    }

    @Test func entriesOfWhichOnlyTheScoreIsKnown() {
        var tracker = RedBeatTracker(configuration: configuration)
        func opaque(_ name: String, score: Double) -> RedBeatReading.Entry {
            let definition = #"{"name": "\#(name)", "task": "t", "schedule": {"__type__": "rrule", "freq": 5}}"#
            return RedBeatReading.Entry(
                key: Array(name.utf8),
                score: score < 0 ? -1 : Self.start + score,
                content: RedBeatEntry(
                    definition: Array(definition.utf8),
                    meta: Array(#"{"last_run_at": null, "total_run_count": 1}"#.utf8)
                )
            )
        }
        let entries = [
            opaque("ended", score: -1), opaque("looked at", score: 0),
            RedBeatReading.Entry(key: Array("broken".utf8), score: Self.start, content: nil),
            opaque("waits", score: 20),
        ]
        let state = tracker.observe(reading(tick: 5, age: 20, entries))
        #expect(state.schedule?.entries.map(\.name) == ["ended", "looked at", "waits"])
        #expect(state.schedule?.entries.map(\.overdue) == [0, 0, 5])
        #expect(state.schedule?.entries.map { relative($0.nextDue) } == [nil, 0, 20])
        #expect(state.schedule?.invalidCount == 1)
        // Their scores may be too early, so they promise nothing.
        #expect(relative(state.deadline) == 305)
    }

    /// A score that this beat's own run has written is certain; one that its start has written is not.
    @Test func scoresOfThisBeatsOwnRuns() {
        func deadline(lastRun: Double) -> Double? {
            var tracker = RedBeatTracker(configuration: configuration)
            var relativeInterval = entry("a", every: 60, lastRun: lastRun, score: 20)
            let content =
                #"{"name": "a", "task": "t", "schedule": {"__type__": "interval", "every": 60, "relative": true}}"#
            let wall = CivilTime(secondsSinceEpoch: Self.start + lastRun)
            let meta = #"""
                {"last_run_at": {"year": \#(wall.year), "month": \#(wall.month), "day": \#(wall.day), "hour": \#(wall.hour),
                 "minute": \#(wall.minute), "second": \#(Int(wall.second))}, "total_run_count": 1}
                """#
            relativeInterval.content = RedBeatEntry(definition: Array(content.utf8), meta: Array(meta.utf8))
            return relative(tracker.observe(reading(tick: 10, age: 1, [relativeInterval], token: token)).deadline)
        }
        // The token says that the beat started at 5.05.
        let token = "caf1509ee54411f19e5b02fc00000001"
        #expect(deadline(lastRun: 0) == 310)
        #expect(deadline(lastRun: 6) == 20)
    }

    /// Beat sleeps from the end of a tick, and for what was left when each entry was evaluated.
    @Test func aTickThatTakesLong() {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [entry("first", every: 10, lastRun: 0), entry("last", every: 10, lastRun: 4)]
        #expect(relative(tracker.observe(reading(tick: 0, age: 5, entries)).deadline) == 14)
        var idle = RedBeatTracker(configuration: configuration)
        #expect(
            relative(idle.observe(reading(tick: 0, age: 5, [entry("rare", every: 9999, lastRun: 4)])).deadline) == 304
        )
    }

    @Test func aDisabledEntryTakesTheLookAhead() {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = [
            entry("off", every: 10, lastRun: -9, isEnabled: false), entry("behind it", every: 10, lastRun: -8.5),
        ]
        #expect(relative(tracker.observe(reading(tick: 0, age: 0.5, entries)).deadline) == 300)
    }

    /// Beat's clock leads a little, and the reading comes before the run.
    @Test func aReadingWithinATick() {
        var tracker = RedBeatTracker(configuration: configuration)
        _ = tracker.observe(reading(tick: 0, age: 0.01, [entry("a", every: 10, lastRun: -9.8)]))
        let state = tracker.observe(reading(tick: 0, age: 5, [entry("a", every: 10, lastRun: 0.25, runs: 2)]))
        #expect(state.isUp == true)
        #expect(relative(state.deadline) == 10.25)
    }

    /// Without a lock the schedule's idle time is the heartbeat, told in whole seconds.
    @Test func lockSwitchedOff() {
        var configuration = configuration
        configuration.lock = .off
        var tracker = RedBeatTracker(configuration: configuration)
        func reading(at time: Double, idle: Double?, isUnreliable: Bool = false, _ entries: [RedBeatReading.Entry])
            -> RedBeatReading
        {
            var reading = RedBeatReading(time: Self.start + time)
            reading.hasScores = false
            reading.scheduleIdle = idle
            reading.isIdleUnreliable = isUnreliable
            reading.entries = entries.map { RedBeatReading.Entry(key: $0.key, score: 0, content: $0.content) }
            reading.entryCount = entries.count
            return reading
        }
        let entries = [entry("a", every: 10, lastRun: 0)]
        let alive = tracker.observe(reading(at: 4.5, idle: 4, entries))
        #expect(alive.isUp == true)
        #expect(alive.lock == nil)
        #expect(relative(alive.heartbeat) == 1)
        #expect(relative(alive.deadline) == 10)
        #expect(tracker.observe(reading(at: 12, idle: 12, entries)).isUp == true)
        #expect(tracker.observe(reading(at: 12.5, idle: 12, entries)).isUp == false)
        // A child process saves the data, so idle times cannot be believed.
        let benefit = tracker.observe(reading(at: 13, idle: 13, isUnreliable: true, entries))
        #expect(benefit.isUp == true && benefit.isPreliminary)
        // Once it is over, idle times reach back behind it.
        #expect(tracker.observe(reading(at: 14, idle: 14, entries)).isUp == true)
        // An eviction policy by frequency: runs are the only sign.
        tracker = RedBeatTracker(configuration: configuration)
        #expect(tracker.observe(reading(at: 11.9, idle: nil, entries)).isUp == true)
        #expect(tracker.observe(reading(at: 12.1, idle: nil, entries)).isUp == false)
        tracker = RedBeatTracker(configuration: configuration)
        let never = tracker.observe(reading(at: 1, idle: nil, [entry("a", every: 10, lastRun: 0, runs: nil)]))
        #expect(never.isUp == nil && never.isPreliminary)
    }

    @Test func tasksSentNeverGoDown() {
        var tracker = RedBeatTracker(configuration: configuration)
        var time = 0.0
        func sent(_ entries: [RedBeatReading.Entry]) -> [String: Int] {
            time += 10
            return tracker.observe(reading(tick: time, age: 0, entries)).schedule?.tasksSent ?? [:]
        }
        func runs(_ name: String, _ runs: Int?, task: String = "t") -> RedBeatReading.Entry {
            entry(name, every: 10, lastRun: 0, runs: runs, task: task)
        }
        #expect(sent([runs("a", 41), runs("b", nil, task: "u")]) == ["t": 0, "u": 0])
        #expect(sent([runs("a", 43), runs("b", 1, task: "u")]) == ["t": 2, "u": 1])
        #expect(sent([runs("b", 1, task: "u")]) == ["t": 2, "u": 1])  // a is deleted
        #expect(sent([runs("a", 1), runs("c", 2)]) == ["t": 5, "u": 1])  // a is re-created, c is new
        #expect(sent([runs("a", 1), runs("c", 2)]) == ["t": 5, "u": 1])
        #expect(sent([runs("a", 0), runs("c", 3)]) == ["t": 6, "u": 1])  // a is re-created between two looks
    }

    /// A failover to a replica that lags, a restored backup, an entry that was unreadable: old runs are not sent now.
    @Test func runsThatAreNoNewsAreNotCounted() {
        var tracker = RedBeatTracker(configuration: configuration)
        let counts = [100_000, 99_990, 99_991, nil, 99_991, 99_992].enumerated().map { index, runs in
            let entries = runs.map { [entry("a", every: 10, lastRun: 0, runs: $0)] } ?? []
            return tracker.observe(reading(tick: Double(index * 10), age: 0, entries)).schedule?.tasksSent["t"]
        }
        #expect(counts == [0, 0, 1, 1, 1, 2])
    }

    @Test func runCountsBeyondReasonEndNothing() {
        var tracker = RedBeatTracker(configuration: configuration)
        for round in 0..<2100 {
            let runs = round.isMultiple(of: 2) ? 0 : 1 << 53
            let entries = [
                entry("a", every: 10, lastRun: 0, runs: runs), entry("b", every: 10, lastRun: 0, runs: .max),
            ]
            _ = tracker.observe(reading(tick: Double(round), age: 0, entries))
        }
        #expect(tracker.observe(reading(tick: 0, age: 0)).schedule?.tasksSent["t"] == Int.largestCount)
    }

    @Test func namesOfTasksAreBounded() {
        var tracker = RedBeatTracker(configuration: configuration)
        let entries = (0..<1500).map { entry("e\($0)", every: 10, lastRun: 0, task: "t\($0)") }
        let names = (tracker.observe(reading(tick: 0, age: 0, entries)).schedule?.tasksSent ?? [:]).keys
        #expect(names.count == 1001 && names.contains("other"))
    }

    /// The name is in the definition, and two keys may hold the same one.
    @Test func entriesOfOneNameAreCountedApart() {
        var tracker = RedBeatTracker(configuration: configuration)
        func twins(_ first: Int, _ second: Int) -> [RedBeatReading.Entry] {
            [("one", first), ("two", second)].map { key, runs in
                var twin = entry("same", every: 10, lastRun: 0, runs: runs)
                twin.key = Array(key.utf8)
                return twin
            }
        }
        _ = tracker.observe(reading(tick: 0, age: 0, twins(5, 9)))
        #expect(tracker.observe(reading(tick: 0, age: 1, twins(5, 9))).schedule?.tasksSent == ["t": 0])
        #expect(tracker.observe(reading(tick: 0, age: 2, twins(6, 11))).schedule?.tasksSent == ["t": 3])
    }

    // MARK: Without a lock, and nobody has said so

    /// What is seen of a beat without a lock: its runs, and when the schedule was last touched.
    private func unlocked(at time: Double, idle: Double?, _ entries: [RedBeatReading.Entry]) -> RedBeatReading {
        var reading = RedBeatReading(time: Self.start + time)
        (reading.hasScores, reading.hasSchedule) = (false, true)
        reading.scheduleIdle = idle
        reading.entries = entries
        reading.entryCount = entries.count
        return reading
    }

    @Test func aBeatWithoutALockIsRecognisedByItsRuns() {
        var tracker = RedBeatTracker(configuration: RedBeatConfiguration())
        let looks = (0..<4).map { step in
            let time = Double(step * 10)
            let ran = entry("a", every: 10, lastRun: time, runs: step + 1)
            return tracker.observe(unlocked(at: time + 1, idle: 1, [ran]))
        }
        #expect(looks.map(\.isUp) == [nil, nil, true, true])
        #expect(looks.map(\.lock) == [nil, nil, nil, nil])
        #expect(tracker.worksUnlocked)
        #expect(relative(looks[3].deadline) == 40)
        let dead = tracker.observe(unlocked(at: 43, idle: 12, [entry("a", every: 10, lastRun: 30, runs: 4)]))
        #expect(dead.isUp == false)
    }

    /// Nobody has touched the schedule for longer than any beat sleeps.
    @Test func aDeadBeatWhoseLockHasEndedIsDeadAtFirstSight() {
        var tracker = RedBeatTracker(configuration: RedBeatConfiguration())
        let hourly = entry("a", every: 3600, lastRun: -1000)
        let state = tracker.observe(unlocked(at: 0, idle: 900, [hourly]))
        #expect(state.isUp == false)
        #expect(state.lock?.isHeld == false)
        #expect(state.heartbeat == nil)
    }

    @Test func aCopyOfARedisTellsNothingOfABeatWithoutALock() {
        var configuration = RedBeatConfiguration()
        configuration.lock = .off
        var tracker = RedBeatTracker(configuration: configuration)
        var reading = unlocked(at: 1000, idle: 999, [entry("a", every: 10, lastRun: 990)])
        reading.isReplica = true
        #expect(tracker.observe(reading).isUp == nil)
    }

    // MARK: What others write

    /// A last run to come, and one on top of a clock that is off.
    @Test func nothingThatDataSayMovesTheDeadlinePastTheLoopInterval() {
        var tracker = RedBeatTracker(configuration: configuration)
        let state = tracker.observe(reading(tick: 0, age: 1, [entry("a", every: 10, lastRun: 86_400)]))
        #expect(relative(state.deadline) == 300)
        #expect(tracker.observe(reading(tick: 0, age: 303, [entry("a", every: 10, lastRun: 86_400)])).isUp == false)
    }

    /// The hash is there, and the schedule has lost it: it will never run, and is late from when it is due.
    @Test func anEntryWithoutAScoreIsLate() {
        var tracker = RedBeatTracker(configuration: configuration)
        var reading = reading(tick: 0, age: 1, [entry("b", every: 500, lastRun: 0)])
        reading.unscored = [entry("lost", every: 60, lastRun: -100)]
        reading.unscored[0].score = 0
        let schedule = tracker.observe(reading).schedule
        #expect(schedule?.entries.map(\.name) == ["b", "lost"])
        #expect(schedule?.entries.map { $0.overdue?.rounded() } == [0, 41])
        #expect(schedule?.invalidCount == 1)
    }

    /// Beat stored its own entry and hung before the first run; the exporter came later and has not read the token.
    @Test func aStaticEntryWasKnownAtTheFirstTick() {
        var tracker = RedBeatTracker(configuration: configuration)
        var first = entry("a", every: 5, lastRun: -0.1, runs: nil)
        first.isStatic = true
        var reading = reading(tick: 0, age: 60, [first])
        reading.lock?.token = nil
        #expect(relative(tracker.observe(reading).deadline) == 4.9)
    }
}
