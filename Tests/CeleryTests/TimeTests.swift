import Testing

@testable import Celery

@Suite struct TimeTests {
    @Test func daysOfFourCenturiesThereAndBack() {
        for day in -200_000...60_000 {
            let date = CivilTime(daysSinceEpoch: day)
            #expect(date.daysSinceEpoch == day && (1...12).contains(date.month))
        }
        #expect(CivilTime(daysSinceEpoch: 0) == CivilTime(year: 1970, month: 1, day: 1))
        #expect(CivilTime(daysSinceEpoch: 11_016) == CivilTime(year: 2000, month: 2, day: 29))
        #expect(CivilTime(year: 2026, month: 11, day: 21).weekday == 6)
        #expect(CivilTime(year: 1969, month: 12, day: 31).weekday == 3)
    }

    @Test func aZoneFromTheSystem() throws {
        let paris = try #require(TimeZone(identifier: "Europe/Paris"))
        #expect(paris.offset(at: 1_795_221_905) == 3600)  // November 2026
        #expect(paris.offset(at: 1_782_000_000) == 7200)  // June 2026
        #expect(paris.offset(at: 4_117_000_000) == 7200)  // June 2100: by the rule in the footer
        #expect(paris.offset(at: -1e10) == 561)  // 1653: local mean time
        #expect(TimeZone(identifier: "UTC") == .utc)
    }

    @Test(arguments: ["", "Mars/Base", "../../etc/passwd", "Europe//Paris", "/etc/passwd", ".", "Europe", "a\0b"])
    func noZone(identifier: String) {
        #expect(TimeZone(identifier: identifier) == nil)
    }

    /// As Python's zoneinfo with fold=0.
    @Test func wallClockInGapAndOverlap() throws {
        let paris = try #require(TimeZone(identifier: "Europe/Paris"))
        // 29 March 2026, 02:30 does not exist; counted as if still winter.
        #expect(paris.moment(of: CivilTime(year: 2026, month: 3, day: 29, hour: 2, minute: 30)) == 1_774_747_800)
        // 25 October 2026, 02:30 happens twice; the first counts.
        #expect(paris.moment(of: CivilTime(year: 2026, month: 10, day: 25, hour: 2, minute: 30)) == 1_792_888_200)
        #expect(paris.civilTime(at: 1_792_888_200 + 3600) == paris.civilTime(at: 1_792_888_200))
    }

    @Test func rulesOfTheSouthernHemisphereAndOddForms() throws {
        let sydney = try #require(PosixTimeZoneRule("AEST-10AEDT,M10.1.0,M4.1.0/3"))
        #expect(sydney.offset(at: 1_767_225_600) == 39_600)  // January
        #expect(sydney.offset(at: 1_782_000_000) == 36_000)  // June
        #expect(PosixTimeZoneRule("<+0330>-3:30")?.offset(at: 0) == 12_600)
        #expect(PosixTimeZoneRule("XXX5YYY,J60/0,300/2")?.offset(at: 0) == -18_000)
        for broken in ["", "E", "EST", "EST5EDT", "EST5EDT,M13.1.0,M4.1.0", "EST5EDT,M3.2.0", "<EST5", "EST999"] {
            #expect(PosixTimeZoneRule(broken) == nil, "\(broken)")
        }
    }

    @Test func aZoneFileThatIsCutShortIsNoZone() {
        let header = Array("TZif2".utf8) + [UInt8](repeating: 0, count: 39)
        #expect(TimeZone(tzif: header) == nil)
        #expect(TimeZone(tzif: header + header) == nil)
        #expect(TimeZone(tzif: []) == nil)
    }
}
