import Testing

@testable import Celery

@Suite struct DatabaseSchedulerTrackerTests {
    private static let start = 1_795_221_900.0

    private func reading(
        at time: Double,
        sessions: [(identifier: String, queryStart: Double, query: DatabaseSchedulerReading.Query)] = [],
        canSeeSessions: Bool = true,
        scans: Int64? = nil,
        updates: Int64 = 0,
        inserts: Int64 = 0
    ) -> DatabaseSchedulerReading {
        DatabaseSchedulerReading(
            time: Self.start + time,
            sessions: sessions.map {
                .init(identifier: $0.identifier, queryStart: Self.start + $0.queryStart, query: $0.query)
            },
            canSeeSessions: canSeeSessions,
            use: scans.map { .init(scans: $0, updates: updates, inserts: inserts) }
        )
    }

    private func relative(_ time: Double?) -> Double? {
        time.map { $0 - Self.start }
    }

    @Test func sessionsTellEachTick() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
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
        var tracker = DatabaseSchedulerTracker(grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("a", 1, .tick), ("web", 1, .other)]))
        let hidden = tracker.observe(reading(at: 11, sessions: [("a", 10, .schedule), ("web", 11, .other)]))
        #expect(hidden.isUp == true)
        #expect(relative(hidden.heartbeat) == 10)
        #expect(hidden.instances == 1)
    }

    /// A beat that renews its connection at every tick and hides the tick each time leaves only its scans.
    @Test(arguments: [true, false])
    func scansTellWhereSessionsDoNot(canSeeSessions: Bool) {
        var tracker = DatabaseSchedulerTracker(grace: 2)
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
        var tracker = DatabaseSchedulerTracker(grace: 2)
        let others: [(String, Double, DatabaseSchedulerReading.Query)] = [("web", 0, .other)]
        for (time, scans) in [(0.0, 7), (5, 8), (8, 8), (9, 0)] {
            let state = tracker.observe(reading(at: time, sessions: others, scans: Int64(scans)))
            #expect(state.heartbeat == nil)
            #expect(state.isUp == (time > 7 ? false : nil))
        }
    }

    /// A pooler that cleans up after each transaction: nobody is ever seen to tick.
    @Test func scansThatGoOnAreABeats() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        let others: [(String, Double, DatabaseSchedulerReading.Query)] = [("pool", 0, .other)]
        let states = [(0.0, 7), (10, 9), (20, 11), (30, 13), (40, 15)].map { time, scans in
            tracker.observe(reading(at: time, sessions: others, scans: Int64(scans)))
        }
        #expect(states.map(\.isUp) == [nil, false, false, true, true])
        #expect(states.last?.instances == nil)
        #expect(relative(states.last?.deadline) == 55)
        // Now and then is not again and again.
        var seldom = DatabaseSchedulerTracker(grace: 2)
        for time in stride(from: 0.0, to: 1000, by: 70) {
            _ = seldom.observe(reading(at: time, sessions: others, scans: Int64(time)))
        }
        #expect(seldom.observe(reading(at: 1000, sessions: others, scans: 5000)).isUp == false)
    }

    /// The counters were set to nothing: that is no scan, but what they count from then on is.
    @Test func countersThatAreReset() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
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
        var tracker = DatabaseSchedulerTracker(grace: 2)
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
        var tracker = DatabaseSchedulerTracker(grace: 2)
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
        var tracker = DatabaseSchedulerTracker(grace: 2)
        _ = tracker.observe(reading(at: 1, sessions: [("a", 1, .tick)]))
        tracker.loseSight()
        #expect(tracker.observe(reading(at: 60)).isUp == nil)
        #expect(tracker.observe(reading(at: 67.1)).isUp == false)
        #expect(tracker.observe(reading(at: 68, sessions: [("b", 68, .tick)])).isUp == true)
    }

    @Test func neverSeenIsDeadAfterAWhile() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        #expect(tracker.observe(reading(at: 0)).isUp == nil)
        let early = tracker.observe(reading(at: 7))
        #expect(early.isUp == nil && early.isPreliminary)
        let late = tracker.observe(reading(at: 7.1))
        #expect(late.isUp == false && !late.isPreliminary)
    }

    /// An application that saves periodic tasks reads and writes the table that beat reads.
    @Test(arguments: [true, false])
    func thoseWhoChangeTheScheduleAreNoBeat(canSeeSessions: Bool) {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        let web = canSeeSessions ? [("web", 0.0, DatabaseSchedulerReading.Query.schedule)] : []
        func observe(at time: Double, scans: Int64, updates: Int64, inserts: Int64 = 1) -> BeatState {
            tracker.observe(
                reading(
                    at: time,
                    sessions: web,
                    canSeeSessions: canSeeSessions,
                    scans: scans,
                    updates: updates,
                    inserts: inserts
                )
            )
        }
        #expect(observe(at: 0, scans: 0, updates: 0, inserts: 0).heartbeat == nil)
        // One creates the row, and four update it.
        for time in stride(from: 5.0, through: 60, by: 5) {
            let saves = Int64(time) * 4 / 5
            #expect(observe(at: time, scans: 1 + 2 * saves, updates: saves).heartbeat == nil)
        }
        // One tick among the saves.
        let ticked = observe(at: 65, scans: 1 + 2 * 52 + 1, updates: 52)
        #expect(relative(ticked.heartbeat) == 65)
        #expect(observe(at: 65 + 5 + (canSeeSessions ? 0 : 10) + 2.1, scans: 114, updates: 56).isUp == false)
    }

    /// Nothing that rows say moves the deadline.
    @Test func runsInTheFutureAreNoSignOfLife() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        var alive = reading(at: 1, sessions: [("a", 1, .tick)])
        alive.entries = [
            entry("tomorrow", lastRun: 86_400, runs: 3), entry("put off", lastRun: nil, changed: 86_400),
            entry("clocked", timing: .clocked(Self.start + 86_400)),
        ]
        #expect(relative(tracker.observe(alive).deadline) == 6)
        var dead = alive
        (dead.time, dead.sessions) = (Self.start + 8.1, [])
        let state = tracker.observe(dead)
        #expect(state.isUp == false)
        #expect(relative(state.deadline) == 6)
        // No task was sent tomorrow.
        #expect(state.schedule?.lastTaskTime == nil)
        #expect(state.schedule?.entries.map(\.lastRun) == [nil, nil, nil])
    }

    @Test func aStandbyShowsNoBeat() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        for time in [0.0, 60] {
            var standby = reading(at: time)
            standby.isStandby = true
            standby.entries = [entry("often", lastRun: -300, runs: 1)]
            let state = tracker.observe(standby)
            #expect(state.isUp == nil && !state.isPreliminary)
            // It may be sent, and stored later.
            #expect(state.schedule?.entries.map(\.overdue) == [nil])
        }
    }

    /// `DJANGO_CELERY_BEAT_TZ_AWARE=False` in Los Angeles: eight hours ahead.
    @Test func runsOfAnotherZone() {
        var tracker = DatabaseSchedulerTracker(grace: 2)
        func entries(at time: Double, lastRun: Double, runs: Int) -> [BeatEntryState]? {
            var reading = reading(at: time, sessions: [("a", time, .tick)])
            reading.entries = [entry("often", lastRun: lastRun + 8 * 3600, runs: runs)]
            let schedule = tracker.observe(reading).schedule
            #expect(schedule?.lastTaskTime.map { $0 <= reading.time } ?? true)
            return schedule?.entries
        }
        let unknown = entries(at: 10, lastRun: 3, runs: 1)
        #expect(unknown?.map(\.lastRun) == [nil])
        #expect(unknown?.map(\.overdue) == [nil])
        #expect(unknown?.map(\.nextDue) == [nil])
        let known = entries(at: 20, lastRun: 13, runs: 2)
        #expect(known?.map { relative($0.lastRun) } == [13])
        #expect(known?.map(\.overdue) == [0])
        #expect(known?.map { relative($0.nextDue) } == [23])
    }

    private func entry(
        _ name: String,
        lastRun: Double? = nil,
        runs: Int = 0,
        changed: Double = 0,
        timing: DatabaseEntry.Timing = .interval(seconds: 10)
    ) -> DatabaseEntry {
        DatabaseEntry(
            name: name,
            lastRun: lastRun.map { Self.start + $0 },
            runs: runs,
            changed: Self.start + changed,
            timing: timing
        )
    }
}
