import Testing

@testable import Celery

/// Collections are ten seconds apart, beat's loop interval is five and the grace two.
@Suite struct StoredRunsTests {
    private static let start = 1_795_221_900.0
    private static let collection = 10.0

    /// A beat, its table and an exporter beside them.
    private struct Site {
        private var runs = StoredRuns(grace: 2)
        private var before: [[UInt8]: Int] = [:]
        private(set) var time = 0.0
        private var heartbeat: Double?
        var isUp: Bool? = true
        var rows: [DatabaseEntry] = []

        init(_ rows: [DatabaseEntry]) { self.rows = rows }

        mutating func loseSight() { runs.loseSight() }

        /// What is known after some seconds, by name. Beat has ticked just before, if it is alive.
        @discardableResult
        mutating func after(_ seconds: Double = collection) -> [String: BeatEntryState] {
            time += seconds
            if isUp == true { heartbeat = start + time - 1 }
            let haveRun = rows.filter { row in before[row.key].map { $0 < row.runs } ?? false }
            before = Dictionary(uniqueKeysWithValues: rows.map { ($0.key, $0.runs) })
            let states = runs.observe(
                rows,
                haveRun: Set(haveRun.map(\.key)),
                at: start + time,
                .init(isUp: isUp, heartbeat: heartbeat, maxLoopInterval: 5)
            )
            return Dictionary(uniqueKeysWithValues: states.map { ($0.name, $0) })
        }

        /// What is known at each collection of some time.
        @discardableResult
        mutating func during(_ seconds: Double, of name: String) -> [Double?] {
            stride(from: 0, to: seconds, by: collection).map { _ in after()[name]?.overdue }
        }

        /// Beat has sent an entry just now, and stores that.
        mutating func store(_ name: String) {
            rows = rows.map {
                $0.name == name ? .init(name: name, lastRun: start + time, runs: $0.runs + 1, timing: $0.timing) : $0
            }
        }
    }

    private static func entry(_ name: String, every seconds: Double, lastRun: Double) -> DatabaseEntry {
        DatabaseEntry(name: name, lastRun: start + lastRun, runs: 1, timing: .interval(seconds: seconds))
    }

    /// Beat stores the first run after its start at once, and those of all others 180 s later.
    @Test(arguments: [180.0, 1800], [10.0, 300, 3600])
    func afterAnOutageNothingIsKnown(outage: Double, interval: Double) {
        var site = Site([
            Self.entry("first", every: 10, lastRun: -outage),
            Self.entry("other", every: interval, lastRun: -outage - interval),
        ])
        site.isUp = false
        #expect(site.after()["other"]?.overdue == outage + 10)
        site.isUp = true
        #expect(site.after()["other"]?.overdue == nil)
        site.store("first")
        #expect(Set(site.during(180, of: "other")) == [nil])
        site.store("first")
        site.store("other")
        #expect(site.after()["other"]?.overdue == 0)
    }

    /// The same where nobody saw that beat was restarted.
    @Test(arguments: [10.0, 3600])
    func aRestartThatNobodySees(interval: Double) {
        var site = Site([
            Self.entry("first", every: 10, lastRun: -1800),
            Self.entry("other", every: interval, lastRun: -1800 - interval),
        ])
        #expect(site.after()["other"]?.overdue == nil)
        site.store("first")
        #expect(Set(site.during(180, of: "other")) == [nil])
    }

    /// In normal life rows are behind, and nothing is late.
    @Test func healthy() {
        var site = Site([
            Self.entry("often", every: 10, lastRun: -170), Self.entry("hourly", every: 3600, lastRun: -3500),
        ])
        let early = site.after()
        #expect(early["often"]?.overdue == 0)
        #expect(early["often"]?.nextDue == Self.start + 20)
        #expect(early["hourly"]?.nextDue == Self.start + 100)
        for _ in 0..<3 {
            site.store("often")
            #expect(Set(site.during(180, of: "often")) == [0])
        }
    }

    /// Beat stores other runs again and again, and this one never.
    @Test func whatIsNotSentIsFound() {
        var site = Site([Self.entry("often", every: 10, lastRun: 0), Self.entry("lost", every: 60, lastRun: 0)])
        site.during(120, of: "lost")
        site.store("often")
        #expect(!site.during(180, of: "lost").contains { ($0 ?? 0) > 0 })
        site.store("often")
        // Its row may be about to be stored.
        #expect((site.after()["lost"]?.overdue ?? 0) == 0)
        #expect(site.after()["lost"]?.overdue == site.time - 60)
        site.store("lost")
        #expect(site.after()["lost"]?.overdue == 0)
    }

    /// Nothing else is sent: once beat has paused for 180 s, it stores each run at once.
    @Test func theOnlyEntryIsNotSent() {
        var site = Site([Self.entry("only", every: 60, lastRun: 0)])
        let told = site.during(180 + 60 + 20, of: "only")
        #expect(!told.dropLast(2).contains { ($0 ?? 0) > 0 })
        #expect(told.last == site.time - 60)
    }

    /// Due while beat was dead: late at once, not known when the next beat is there, and late again if that one lets it be.
    @Test(arguments: [DatabaseEntry.Timing.clocked(start + 300), .interval(seconds: 3600)])
    func missedWhileBeatWasDead(timing: DatabaseEntry.Timing) {
        var site = Site([
            Self.entry("often", every: 10, lastRun: 0),
            DatabaseEntry(name: "missed", lastRun: Self.start - 3300, runs: 1, timing: timing),
        ])
        #expect(Set(site.during(200, of: "missed")) == [0])
        site.isUp = false
        #expect(Set(site.during(100, of: "missed")) == [0])
        #expect(site.after()["missed"]?.overdue == 10)
        #expect(site.after()["missed"]?.nextDue == Self.start + 300)
        site.isUp = true
        site.store("often")
        #expect(Set(site.during(180, of: "missed")) == [nil])
        site.store("often")
        #expect(site.after()["missed"]?.overdue == nil)
        #expect(site.after()["missed"]?.overdue == site.time - 300)
    }

    /// A beat that is killed has not stored what it has sent.
    @Test func sentButNotStored() {
        var site = Site([Self.entry("often", every: 10, lastRun: 0), Self.entry("hourly", every: 3600, lastRun: -3500)])
        site.during(200, of: "often")
        site.isUp = false
        let dead = site.after()
        #expect(dead["often"]?.nextDue == Self.start + 200)
        #expect(dead["often"]?.overdue == 10)
        #expect(dead["hourly"]?.nextDue == Self.start + 3700)
        #expect(dead["hourly"]?.overdue == 0)
    }

    /// An outage of the database: beat may have failed to store what it sent.
    @Test func afterAnOutageOfTheDatabase() {
        var site = Site([Self.entry("only", every: 60, lastRun: 0)])
        site.during(100, of: "only")
        site.loseSight()
        #expect(!site.during(230, of: "only").contains { ($0 ?? 0) > 0 })
    }

    /// Many entries that are due together take their time.
    @Test func aLongBurst() {
        var site = Site(
            [Self.entry("first", every: 10, lastRun: -1800)]
                + (0..<2999).map { Self.entry("\($0)", every: 60, lastRun: -1800) }
        )
        site.after()
        // Someone changes the schedule all the time, so that beat stores all the time.
        for _ in 0..<12 {
            site.store("first")
            #expect(site.after()["2998"]?.overdue == nil)
        }
    }

    /// An entry that never ran: until 2.7 it counts from beat's start, later from its last change.
    @Test func neverRun() {
        let changed = Self.start - 3600
        var site = Site([DatabaseEntry(name: "new", changed: changed, timing: .interval(seconds: 1800))])
        #expect(site.after()["new"]?.overdue == 0)
        #expect(site.after()["new"]?.nextDue == Self.start + 10 + 1800)
    }
}
