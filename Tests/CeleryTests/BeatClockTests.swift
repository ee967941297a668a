import Testing

@testable import Celery

@Suite struct BeatClockTests {
    /// Readings every ten seconds; in each a run `phase` seconds after the last reading, by a clock that is `ahead`.
    private func clock(ahead: Double, phases: [Double]) -> BeatClock {
        var clock = BeatClock()
        for (index, phase) in phases.enumerated() {
            let last = 1000 + Double(index) * 10
            clock.observe(runs: [last + phase + ahead], since: last, until: last + 10)
        }
        return clock
    }

    @Test func unknownWithoutARun() {
        let clock = clock(ahead: 0, phases: [])
        #expect(clock.skew == nil)
        #expect(clock.correction == 0)
    }

    @Test(arguments: [-0.5, 0, 0.9])
    func clocksThatAgree(ahead: Double) {
        for phases in [[0.0], [9.9], [0, 9.9, 5], [3, 3, 3]] {
            let clock = clock(ahead: ahead, phases: phases)
            #expect(clock.skew == 0)
            #expect(clock.correction == 0)
        }
    }

    /// Never more than it is, and closer with every run.
    @Test func aheadAndBehind() {
        let ahead = clock(ahead: 300, phases: [2, 9, 1])
        #expect(ahead.skew == 299)
        #expect(ahead.correction == 299)
        let behind = clock(ahead: -300, phases: [2, 9, 1])
        #expect(behind.skew == -299)
        #expect(behind.correction == -301)
    }

    @Test func oneStrangeRunIsNoClock() {
        var clock = clock(ahead: 300, phases: [5])
        #expect(clock.skew == 0)
        clock.observe(runs: [1015], since: 1010, until: 1020)
        #expect(clock.skew == 0)
        // Two runs that no one clock could have written.
        clock.observe(runs: [1025, 1325], since: 1020, until: 1030)
        clock.observe(runs: [1025, 1325], since: 1020, until: 1030)
        #expect(clock.skew == 0)
    }

    @Test func aClockThatWasSet() {
        var clock = clock(ahead: 300, phases: [5, 5])
        #expect(clock.skew == 295)
        for last in [2000.0, 2010] { clock.observe(runs: [last + 5], since: last, until: last + 10) }
        #expect(clock.skew == 0)
    }

    @Test func aLockThatWasAskedForInTheFuture() {
        var clock = BeatClock()
        clock.observe(start: 999, at: 1000)
        #expect(clock.skew == nil)
        clock.observe(start: 1290, at: 1000)
        #expect(clock.skew == 290)
        #expect(clock.correction == 290)
        clock.observe(runs: [1305], since: 1000, until: 1010)
        #expect(clock.skew == 295)
        // Asked for again later: nothing new.
        clock.observe(start: 1310, at: 1020)
        #expect(clock.skew == 295)
    }

    /// The clock was set after beat had asked for the lock.
    @Test func runsKnowBetterThanTheLock() {
        var clock = clock(ahead: 0, phases: [5, 5])
        clock.observe(start: 4600, at: 1030)
        #expect(clock.skew == 0)
        var absurd = BeatClock()
        absurd.observe(start: 1e9, at: 1000)
        #expect(absurd.skew == nil)
    }

    /// Later is the safe side.
    @Test func oneRunIsEnoughToTakeThingsForLater() {
        let behind = clock(ahead: -300, phases: [5])
        #expect(behind.skew == 0)
        #expect(behind.correction == -305)
        #expect(clock(ahead: 300, phases: [5]).correction == 0)
    }

    @Test func readingsThatGoBackInTimeAreLeftOut() {
        var clock = BeatClock()
        clock.observe(runs: [500], since: 1000, until: 400)
        #expect(clock.skew == nil)
    }
}
