import Testing

@testable import Celery

@Suite struct LockUseTests {
    private func look(
        _ use: inout LockUse,
        hasLock: Bool = false,
        hasRun: Bool = false,
        touch: Double? = nil,
        isLate: Bool = false
    ) -> LockUse.Answer {
        use.observe(hasLock: hasLock, hasRun: hasRun, touch: touch, isLate: isLate)
        return use.answer
    }

    @Test func runsWhileThereIsNoLockProveABeatWithoutOne() {
        var use = LockUse(.standard)
        #expect(look(&use, hasRun: true) == .unknown)  // since a look that may have found one
        #expect(look(&use, hasRun: true) == .unknown)
        #expect(look(&use) == .unknown)
        #expect(look(&use, hasRun: true) == .unused)
        #expect(look(&use, hasLock: true) == .used)
    }

    /// Its last run comes between two looks, and a standby touches the schedule as it starts.
    @Test func aBeatThatHadALockAndIsGoneIsNoneWithoutOne() {
        var use = LockUse(.standard)
        #expect(look(&use, hasLock: true) == .used)
        #expect(look(&use, hasRun: true, touch: 100) == .used)
        #expect(look(&use, touch: 110) == .used)
        #expect(look(&use, touch: 120) == .used)
    }

    @Test func touchesProveABeatUnlessEntriesWait() {
        var use = LockUse(.standard)
        let touches: [(Double, LockUse.Answer)] = [
            (100, .unknown), (101, .unknown), (105, .unknown), (106, .unknown), (110, .unused),
        ]
        for (touch, answer) in touches { #expect(look(&use, touch: touch) == answer) }
        var application = LockUse(.standard)
        for touch in stride(from: 0.0, to: 100, by: 5) {
            #expect(look(&application, touch: touch, isLate: true) == .unknown)
        }
    }

    @Test func whatIsConfiguredIsNotAsked() {
        var use = LockUse(.off)
        #expect(look(&use, hasLock: true) == .unused)
    }

    // MARK: Owners

    /// Its process asked for the lock at 1795221905.
    private static let token = "caf1509ee54411f19e5b02fc00000001"
    private static let start = 1_795_221_905.0

    private func owners(_ looks: [(time: Double, timeToLive: Double, token: String?)]) -> Int {
        var owners = LockOwners()
        for look in looks {
            let lock = RedBeatReading.Lock(token: look.token, timeToLive: look.timeToLive, idle: nil)
            owners.observe(lock, at: Self.start + look.time, timeout: 25)
        }
        return owners.changes
    }

    @Test func aTakeoverFromAnOwnerThatWasNeverReadCounts() {
        // By a process that started later; by one that waited until the end; by the owner itself, which extends.
        #expect(owners([(-10, 20, nil), (1, 25, Self.token)]) == 1)
        #expect(owners([(5, 20, nil), (31, 24, Self.token)]) == 1)
        #expect(owners([(5, 20, nil), (11, 24, Self.token)]) == 0)
        #expect(owners([(1, 25, Self.token), (5, 25, Self.token), (9, 25, "other")]) == 1)
    }
}
