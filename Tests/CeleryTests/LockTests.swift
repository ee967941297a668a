import Testing

@testable import Celery

@Suite struct LockTests {
    @Test func aTokenTellsWhenItsBeatStarted() throws {
        // Written by a beat that took the lock at 1795221905.0548.
        let start = try #require(LockToken.startTime("caf1509ee54411f19e5b02fc00000001"))
        #expect(abs(start - 1_795_221_905.0545) < 0.001)
    }

    @Test(arguments: ["", "caf1509ee54441f19e5b02fc00000001", "zaf1509ee54411f19e5b02fc00000001", "caf1509e", "é"])
    func otherTokensTellNothing(token: String) {
        #expect(LockToken.startTime(token) == nil)
    }

    private func lock(_ timeToLive: Double?, idle: Double? = nil, token: String = "a") -> RedBeatReading.Lock {
        RedBeatReading.Lock(token: token, timeToLive: timeToLive, idle: idle)
    }

    /// Readings of a lock with a timeout of 60 s, last touched 9.8 s before: `OBJECT IDLETIME` says 9 or 10.
    @Test func learntAtFirstSightFromTheIdleTime() {
        for (time, idle) in [(1009.9, 9.0), (1010.1, 10.0)] {
            var timeout = LockTimeout(configured: nil)
            let learnt = timeout.observe(lock(50.2, idle: idle), at: time)
            #expect(learnt == 59 || learnt == 60, "\(time): \(learnt ?? -1)")
        }
    }

    /// Whatever the moment: never more than the truth, since that would make the last tick too early.
    @Test func neverLearntTooLong() {
        for touch in stride(from: 1000.0, to: 1001, by: 0.05) {
            for age in stride(from: 0.0, to: 12, by: 0.35) {
                let now = touch + age
                let idle = now.rounded(.down) - touch.rounded(.down)
                var timeout = LockTimeout(configured: nil)
                let learnt = timeout.observe(lock(60 - age, idle: idle), at: now) ?? 0
                #expect(learnt <= 60 && learnt >= 58)
            }
        }
    }

    /// One whose token was never read was followed by one with a shorter timeout.
    @Test func whatWasLearntOfAnEarlierBeatIsForgotten() {
        let token = "caf1509ee54411f19e5b02fc00000001"
        let start = 1_795_221_905.0
        func first(at time: Double) -> LockTimeout {
            var timeout = LockTimeout(configured: nil)
            let unread = RedBeatReading.Lock(token: nil, timeToLive: 1500, idle: nil)
            #expect(timeout.observe(unread, at: time) == 1500)
            return timeout
        }
        var earlier = first(at: start - 60)
        #expect(earlier.observe(lock(24, token: token), at: start + 2) == 24)
        // The same beat, whose token is read only now.
        var same = first(at: start + 60)
        #expect(same.observe(lock(1490, token: token), at: start + 70) == 1500)
        var released = first(at: start)
        released.forget()
        #expect(released.observe(lock(24, token: "b"), at: start + 2) == 24)
    }

    @Test func learntFromTheLongestTimeToLive() {
        var timeout = LockTimeout(configured: nil)
        #expect(timeout.observe(lock(51.3), at: 1000) == 52)
        #expect(timeout.observe(lock(41.3), at: 1010) == 52)
        #expect(timeout.observe(lock(59.4), at: 1020) == 60)
        #expect(timeout.observe(lock(49.4), at: 1030) == 60)
        // A new owner may have another timeout.
        #expect(timeout.observe(lock(20, token: "b"), at: 1040) == 20)
        #expect(timeout.observe(lock(nil, token: "b"), at: 1050) == 20)
    }

    /// A time to live alone may be that of a lock whose beat is long dead.
    @Test func aTimeToLiveAloneIsNotCertain() {
        var timeout = LockTimeout(configured: nil)
        _ = timeout.observe(lock(1200), at: 1000)
        _ = timeout.observe(lock(1190), at: 1010)
        #expect(!timeout.isCertain)
        // It was extended.
        _ = timeout.observe(lock(1500), at: 1020)
        #expect(timeout.isCertain)
        timeout.forget()
        #expect(!timeout.isCertain)
        // It was taken.
        _ = timeout.observe(lock(1499), at: 1040)
        #expect(timeout.isCertain)

        timeout = LockTimeout(configured: nil)
        _ = timeout.observe(lock(1200, idle: 300), at: 1000)
        #expect(timeout.isCertain)
        timeout = LockTimeout(configured: 1500)
        _ = timeout.observe(lock(1200), at: 1000)
        #expect(timeout.isCertain)
    }

    @Test func theConfiguredTimeoutHoldsUnlessTheLockLivesLonger() {
        var timeout = LockTimeout(configured: 30)
        #expect(timeout.observe(lock(12), at: 1000) == 30)
        #expect(timeout.observe(lock(44.5), at: 1010) == 45)
    }
}
