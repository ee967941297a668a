import Postgres
import Testing

@testable import Celery

/// Whatever the tables of django-celery-beat hold, or a server that lies sends, no row ends the program.
@Suite struct DatabaseEntryTests {
    private static let now = 1_795_222_000.0
    private static let extremes = [
        "9223372036854775807", "-9223372036854775808", "1e308", "-1e308", "NaN", "Infinity", "-Infinity", "0", "-1", "",
        "x",
    ]

    @Test(arguments: 0...20)
    func rowsOfAnyLength(length: Int) {
        let entry = DatabaseEntry(PostgresRow(columns: Array(repeating: "1", count: length)))
        #expect((entry == nil) == (length < 2))
    }

    @Test(arguments: extremes, 4...18)
    func numbersOfAnySize(number: String, column: Int) throws {
        var columns: [String?] = ["a", "t", "t", nil, "1795221000", "1", "1795221000", nil, nil, "f"]
        columns += column < 12 ? ["7", "days"] : [nil, nil]
        columns += column < 12 ? Array(repeating: nil, count: 6) : Array(repeating: "*", count: 5) + ["UTC"]
        columns += [column == 18 ? number : nil, "f"]
        if column == 18 { columns[12] = nil }
        columns[column] = number
        let entry = try #require(DatabaseEntry(PostgresRow(columns: columns)))
        #expect((0...(1 << 53)).contains(entry.runs))
        if let due = entry.due(at: Self.now, firstBeatStart: Self.now, beatStart: Self.now) {
            _ = entry.nextDue(from: due, after: Self.now)
        }
        var runs = StoredRuns(grace: 2)
        var tracker = DatabaseSchedulerTracker(grace: 2)
        for moment in [Self.now, Self.now + 1e10] {
            let life = StoredRuns.Life(isUp: true, heartbeat: moment, maxLoopInterval: 5)
            let states = runs.observe([entry, entry], haveRun: [entry.key], at: moment, life)
            #expect(states.count == 2)
            var reading = DatabaseSchedulerReading(time: moment, canSeeSessions: true)
            reading.use = .init(scans: .max, updates: .min, inserts: .max)
            reading.entries = [entry]
            _ = tracker.observe(reading)
        }
    }
}
