import Testing

@testable import Celery

@Suite struct DatabaseSchedulerTrackerTests {
    private static let start = 1_795_221_900.0

    private func reading(
        at time: Double,
        sessions: [(identifier: String, queryStart: Double, query: DatabaseSchedulerReading.Query)] = [],
        canSeeSessions: Bool = true,
        scans: Int64? = nil
    ) -> DatabaseSchedulerReading {
        DatabaseSchedulerReading(
            time: Self.start + time,
            sessions: sessions.map {
                .init(identifier: $0.identifier, queryStart: Self.start + $0.queryStart, query: $0.query)
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
        let alive = tracker.observe(reading(at: 4, sessions: [("a", 1, .tick)]))
        #expect(alive.isUp == true)
        #expect(relative(alive.heartbeat) == 1)
        #expect(relative(alive.deadline) == 6)
        #expect(alive.instances == 1)
        // A late report of scans is no tick while the session shows none.
        #expect(tracker.observe(reading(at: 8, sessions: [("a", 1, .tick)], scans: 5)).isUp == true)
        #expect(tracker.observe(reading(at: 8.1, sessions: [("a", 1, .tick)], scans: 6)).isUp == false)
        #expect(tracker.observe(reading(at: 8.3)).instances == 0)
    }

    /// Writing last runs after each task (`beat_sync_every=1`) hides the query of the tick.
    @Test func otherQueriesOfABeatAreSignsOfLife() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("a", 1, .tick), ("web", 1, .other)]))
        let hidden = tracker.observe(reading(at: 11, sessions: [("a", 10, .schedule), ("web", 11, .other)]))
        #expect(hidden.isUp == true)
        #expect(relative(hidden.heartbeat) == 10)
        #expect(hidden.instances == 1)
    }

    /// A beat that renews its connection at every tick and hides the tick each time leaves only its scans.
    @Test(arguments: [true, false])
    func scansTellWhereSessionsDoNot(canSeeSessions: Bool) {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        let hidden = canSeeSessions ? [("a", 0.0, DatabaseSchedulerReading.Query.transaction)] : []
        // It is too early to tell.
        let first = reading(at: 0, sessions: hidden, canSeeSessions: canSeeSessions, scans: 7)
        #expect(tracker.observe(first).isUp == nil)
        let ticked = tracker.observe(reading(at: 5, sessions: hidden, canSeeSessions: canSeeSessions, scans: 8))
        #expect(ticked.isUp == true)
        #expect(relative(ticked.heartbeat) == 5)
        // Scans may be told late where nothing else tells.
        #expect(relative(ticked.deadline) == (canSeeSessions ? 10 : 20))
        #expect(ticked.instances == nil)
    }

    @Test func scansOfOthersAreNoSignOfLife() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        let others: [(String, Double, DatabaseSchedulerReading.Query)] = [("web", 0, .other)]
        for (time, scans) in [(0.0, 7), (5, 8), (8, 8), (9, 0)] {
            let state = tracker.observe(reading(at: time, sessions: others, scans: Int64(scans)))
            #expect(state.heartbeat == nil)
            #expect(state.isUp == (time > 7 ? false : nil))
        }
    }

    /// A pooler that cleans up after each transaction: nobody is ever seen to tick.
    @Test func scansThatGoOnAreABeats() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        let others: [(String, Double, DatabaseSchedulerReading.Query)] = [("pool", 0, .other)]
        let states = [(0.0, 7), (10, 9), (20, 11), (30, 13), (40, 15)].map { time, scans in
            tracker.observe(reading(at: time, sessions: others, scans: Int64(scans)))
        }
        #expect(states.map(\.isUp) == [nil, false, false, true, true])
        #expect(states.last?.instances == nil)
        #expect(relative(states.last?.deadline) == 55)
        // Now and then is not again and again.
        var seldom = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        for time in stride(from: 0.0, to: 1000, by: 70) {
            _ = seldom.observe(reading(at: time, sessions: others, scans: Int64(time)))
        }
        #expect(seldom.observe(reading(at: 1000, sessions: others, scans: 5000)).isUp == false)
    }

    /// The counters were set to nothing: that is no scan, but what they count from then on is.
    @Test func countersThatAreReset() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        func heartbeat(at time: Double, scans: Int64) -> Double? {
            relative(tracker.observe(reading(at: time, canSeeSessions: false, scans: scans)).heartbeat)
        }
        #expect(heartbeat(at: 0, scans: 9) == nil)
        #expect(heartbeat(at: 5, scans: 0) == nil)
        #expect(heartbeat(at: 10, scans: 1) == 10)
        #expect(heartbeat(at: 15, scans: 9) == 15)
        #expect(heartbeat(at: 20, scans: 3) == 20)
    }

    /// Behind a pooler, or where someone who is no beat has read the table once.
    @Test func sessionsThatOthersUseToo() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("pool", 1, .tick)], scans: 1))
        let shared = tracker.observe(reading(at: 11, sessions: [("pool", 11, .other)], scans: 3))
        #expect(shared.isUp == true)
        #expect(relative(shared.heartbeat) == 11)
        #expect(relative(shared.deadline) == 26)
        #expect(shared.instances == nil)
        // It is seen again, and then no more.
        _ = tracker.observe(reading(at: 13, sessions: [("pool", 12, .tick)], scans: 4))
        let dead = tracker.observe(reading(at: 40, sessions: [("pool", 40, .other)], scans: 4))
        #expect(dead.isUp == false)
        #expect(relative(dead.heartbeat) == 12)
        #expect(dead.instances == 0)
    }

    /// Another role's sessions cannot be seen, but beat's can.
    @Test func hiddenSessionsBesideThoseOfBeat() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        let alive = reading(at: 1, sessions: [("a", 1, .tick)], canSeeSessions: false, scans: 1)
        #expect(relative(tracker.observe(alive).deadline) == 6)
        let dead = tracker.observe(reading(at: 9, canSeeSessions: false, scans: 2))
        #expect(dead.isUp == false)
        #expect(dead.instances == 0)
        // A beat of another role's own: what it scans is all that shows.
        let other = tracker.observe(reading(at: 80, canSeeSessions: false, scans: 3))
        #expect(other.isUp == true)
        #expect(other.instances == nil)
    }

    @Test func afterAnOutageItIsTooEarlyToTell() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("a", 1, .tick)]))
        tracker.loseSight()
        #expect(tracker.observe(reading(at: 60)).isUp == nil)
        #expect(tracker.observe(reading(at: 67.1)).isUp == false)
        #expect(tracker.observe(reading(at: 68, sessions: [("b", 68, .tick)])).isUp == true)
    }

    @Test func neverSeenIsDeadAfterAWhile() {
        var tracker = DatabaseSchedulerTracker(maxLoopInterval: nil, grace: 2)
        #expect(tracker.observe(reading(at: 0)).isUp == nil)
        let early = tracker.observe(reading(at: 7))
        #expect(early.isUp == nil && early.isPreliminary)
        let late = tracker.observe(reading(at: 7.1))
        #expect(late.isUp == false && !late.isPreliminary)
    }
}
