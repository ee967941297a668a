import Testing

@testable import Celery

@Suite struct DatabaseSchedulerTrackerTests {
    private static let start = 1_795_221_900.0

    private func reading(
        at time: Double,
        sessions: [(identifier: String, queryStart: Double, isTick: Bool)] = [],
        canSeeSessions: Bool = true,
        scans: Int64? = nil
    ) -> DatabaseSchedulerReading {
        DatabaseSchedulerReading(
            time: Self.start + time,
            sessions: sessions.map {
                .init(identifier: $0.identifier, queryStart: Self.start + $0.queryStart, isTick: $0.isTick)
            },
            canSeeSessions: canSeeSessions,
            scans: scans
        )
    }

    private func relative(_ time: Double?) -> Double? {
        time.map { $0 - Self.start }
    }

    @Test func sessionsTellEachTick() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        let alive = tracker.observe(reading(at: 4, sessions: [("a", 1, true)]))
        #expect(alive.isUp == true)
        #expect(relative(alive.heartbeat) == 1)
        #expect(relative(alive.deadline) == 6)
        #expect(alive.instances == 1)
        // A late report of scans is no tick while the session shows none.
        #expect(tracker.observe(reading(at: 8, sessions: [("a", 1, true)], scans: 5)).isUp == true)
        #expect(tracker.observe(reading(at: 8.1, sessions: [("a", 1, true)], scans: 6)).isUp == false)
        #expect(tracker.observe(reading(at: 8.3)).instances == 0)
    }

    /// Writing last runs after each task (`beat_sync_every=1`) hides the query of the tick.
    @Test func otherQueriesOfABeatAreSignsOfLife() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("a", 1, true), ("web", 1, false)]))
        let hidden = tracker.observe(reading(at: 11, sessions: [("a", 10, false), ("web", 11, false)]))
        #expect(hidden.isUp == true)
        #expect(relative(hidden.heartbeat) == 10)
        #expect(hidden.instances == 1)
    }

    /// A beat that renews its connection at every tick and hides the tick each time leaves only its scans.
    @Test func scansTellWhereSessionsDoNot() {
        for canSeeSessions in [true, false] {
            var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
            // It is too early to tell.
            #expect(tracker.observe(reading(at: 0, canSeeSessions: canSeeSessions, scans: 7)).isUp == nil)
            let ticked = tracker.observe(reading(at: 5, canSeeSessions: canSeeSessions, scans: 8))
            #expect(ticked.isUp == true)
            #expect(relative(ticked.heartbeat) == 5)
            // Scans may be told late where nothing else tells.
            #expect(relative(ticked.deadline) == (canSeeSessions ? 10 : 20))
            #expect(ticked.instances == nil)
        }
    }

    @Test func neverSeenIsDeadAfterAWhile() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        #expect(tracker.observe(reading(at: 0)).isUp == nil)
        #expect(tracker.observe(reading(at: 7)).isUp == nil)
        #expect(tracker.observe(reading(at: 7.1)).isUp == false)
    }
}
