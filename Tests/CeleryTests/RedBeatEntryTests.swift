import Testing

@testable import Celery

@Suite struct RedBeatEntryTests {
    private static let interval =
        #"{"name": "n", "task": "t", "schedule": {"__type__": "interval", "every": 5.0, "relative": false}}"#

    private func entry(_ definition: String, meta: String? = nil) -> RedBeatEntry? {
        RedBeatEntry(definition: Array(definition.utf8), meta: meta.map { Array($0.utf8) })
    }

    @Test func asRedBeatWritesIt() throws {
        let entry = try #require(
            self.entry(
                #"""
                {"name": "every-30s", "task": "tasks.add", "args": [3, 4], "kwargs": {}, "options": {"queue": "special",
                 "expires": 60}, "schedule": {"__type__": "interval", "every": 30.0, "relative": false}, "enabled": true}
                """#,
                meta: #"""
                    {"last_run_at": {"__type__": "datetime", "year": 2026, "month": 11, "day": 21, "hour": 1, "minute": 55,
                     "second": 17, "microsecond": 845670, "timezone": "Europe/Paris"}, "total_run_count": 4}
                    """#
            )
        )
        #expect(entry.name == "every-30s")
        #expect(entry.task == "tasks.add")
        #expect(entry.isEnabled)
        #expect(entry.queue == "special")
        #expect(entry.schedule == .interval(seconds: 30, relative: false))
        #expect(entry.lastRunAt == 1_795_222_517.84567)
        #expect(entry.zone == .identifier("Europe/Paris"))
        #expect(entry.totalRunCount == 4)
    }

    @Test func whatMayBeMissing() throws {
        let entry = try #require(self.entry(Self.interval, meta: #"{"last_run_at": null}"#))
        #expect(entry.isEnabled)
        #expect(entry.lastRunAt == nil)
        #expect(entry.totalRunCount == nil)
        #expect(self.entry(Self.interval, meta: nil) == entry)
    }

    /// Celery 5.2 with pytz writes the zone as an offset; an absent one is UTC.
    @Test func zonesAsOffsetsAndAbsent() {
        func lastRun(_ zone: String) -> Double? {
            entry(
                Self.interval,
                meta: #"{"last_run_at": {"__type__": "datetime", "year": 2026, "month": 1, "day": 1\#(zone)}}"#
            )?.lastRunAt
        }
        #expect(lastRun("") == 1_767_225_600)
        #expect(lastRun(#", "timezone": 0.0"#) == 1_767_225_600)
        #expect(lastRun(#", "timezone": 3600"#) == 1_767_222_000)
        #expect(lastRun(#", "timezone": "Mars/Base""#) == nil)
        #expect(lastRun(#", "timezone": []"#) == nil)
    }

    @Test(arguments: [
        #"{"__type__": "crontab", "minute": 5, "hour": [1, 2, 3], "day_of_week": "*", "day_of_month": "*", "month_of_year": "*"}"#,
        #"{"__type__": "rrule", "freq": 5, "dtstart": 1795222507}"#, "5",
        #"{"__type__": "interval", "every": 0.5, "relative": true}"#,
        #"{"__type__": "interval", "every": -1, "relative": 0}"#,
    ])
    func schedulesBeatCanLoad(schedule: String) {
        #expect(entry(#"{"name": "n", "task": "t", "schedule": \#(schedule)}"#) != nil)
    }

    @Test(arguments: [
        "null", "{}", #"{"__type__": "moon"}"#, #"{"__type__": "interval", "every": 5}"#, #"{"__type__": 1}"#,
        #"{"__type__": "interval"}"#,
        #"{"__type__": "interval", "every": "5"}"#,
        #"{"__type__": "interval", "every": 1e300, "relative": false}"#,
        #"{"__type__": "interval", "every": NaN}"#, #"{"__type__": "crontab", "minute": "60"}"#,
        #"{"__type__": "crontab", "minute": {}}"#,
    ])
    func schedulesBeatCannotLoad(schedule: String) {
        #expect(entry(#"{"name": "n", "task": "t", "schedule": \#(schedule)}"#) == nil)
    }

    @Test(arguments: [
        "", "x", "[]", "{}", #"{"name": 1, "task": "t", "schedule": {"__type__": "rrule"}}"#,
        #"{"name": "n", "task": null, "schedule": {"__type__": "rrule"}}"#,
    ])
    func definitionsBeatCannotLoad(definition: String) {
        #expect(entry(definition) == nil)
    }

    @Test(arguments: [
        "x", "[]", "{}", #"{"last_run_at": 5}"#, #"{"last_run_at": {"year": 2026, "month": 13, "day": 1}}"#,
        #"{"last_run_at": {"year": 2026, "month": 2, "day": 30}}"#,
        #"{"last_run_at": {"year": 2026, "month": 2, "day": 3, "hour": 24}}"#,
        #"{"last_run_at": {"year": 1e18, "month": 2, "day": 3}}"#,
    ])
    func runsBeatCannotLoad(meta: String) {
        #expect(entry(Self.interval, meta: meta) == nil)
    }

    @Test(arguments: [
        ("{}", nil, "has no schedule that RedBeat knows: beat ends as soon as it loads it; fix or delete it"),
        (
            #"{"name": "n", "task": "t", "owner": "me", "schedule": 5}"#, nil,
            "has a member owner in its definition that RedBeat does not know: beat ends as soon as it loads it; "
                + "fix or delete it"
        ),
        (
            interval, #"{"total_run_count": 3}"#,
            "has no last_run_at in its meta: beat takes it out of the schedule and never runs it; fix it and save it again"
        ),
        (
            #"{"name": "n", "task": "t", "schedule": {"__type__": "interval", "every": 5}}"#, nil,
            "has an interval without the member relative: beat takes it out of the schedule and never runs it; "
                + "fix it and save it again"
        ),
    ])
    func whatBeatDoesWithWhatItCannotLoad(definition: String, meta: String?, problem: String) {
        #expect(
            RedBeatEntry.problem(definition: Array(definition.utf8), meta: meta.map { Array($0.utf8) }).text == problem
        )
    }

    @Test func anEntryBelongsToThePrefixThatItsNameLeaves() {
        let definition = Array(#"{"name": "nightly", "task": "t", "args": [[1], {"name": "x"}], "schedule": 5}"#.utf8)
        #expect(!RedBeatEntry.isOther(definition, than: Array("shop-eunightly".utf8), prefix: "shop-eu"))
        #expect(RedBeatEntry.isOther(definition, than: Array("shop-eunightly".utf8), prefix: "shop"))
        #expect(!RedBeatEntry.isOther([], than: Array("shopx".utf8), prefix: "shop"))
    }

    /// Clocks went back in Paris on 25 October 2026: 02:30 was at 1,792,888,200 and once more an hour later.
    @Test func aRunInTheHourThatOccursTwice() {
        func lastRun(second: Int, at time: Double?, known: RedBeatEntry? = nil) -> RedBeatEntry? {
            let meta = """
                {"last_run_at": {"year": 2026, "month": 10, "day": 25, "hour": 2, "minute": 30, "second": \(second),
                 "timezone": "Europe/Paris"}, "total_run_count": 4}
                """
            return RedBeatEntry(
                definition: Array(Self.interval.utf8),
                meta: Array(meta.utf8),
                at: time,
                known: known
            )
        }
        let first = 1_792_888_200.0
        // Seen at once, in each of the two.
        let early = lastRun(second: 5, at: first + 6)
        #expect(early?.lastRunAt == first + 5)
        #expect(lastRun(second: 5, at: first + 3606)?.lastRunAt == first + 3605)
        // Never after it was seen, but for a clock that is a little ahead.
        #expect(lastRun(second: 5, at: first + 3500)?.lastRunAt == first + 5)
        #expect(lastRun(second: 5, at: first + 3600)?.lastRunAt == first + 3605)
        // What was there already stays when it was; the next run is another.
        #expect(lastRun(second: 5, at: first + 3606, known: early)?.lastRunAt == first + 5)
        #expect(lastRun(second: 6, at: first + 3606, known: early)?.lastRunAt == first + 3606)
    }

    @Test func zonesThatTheSystemLacksAreNamed() {
        func unknown(_ zone: String) -> String? {
            RedBeatEntry.unknownZone(inMeta: Array(#"{"last_run_at": {"timezone": "\#(zone)"}}"#.utf8))
        }
        #expect(unknown("Mars/Base") == "Mars/Base")
        #expect(unknown("US/Eastern") == nil)
        #expect(RedBeatEntry.unknownZone(inMeta: Array("{".utf8)) == nil)
    }
}
