import Foundation
import Testing

@testable import TimeZones

private typealias TimeZone = TimeZones.TimeZone

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

    @Test func whichOfTwoOccurrences() throws {
        let paris = try #require(TimeZone(identifier: "Europe/Paris"))
        let (first, second) = (1_792_888_200.0, 1_792_891_800.0)
        let twice = paris.civilTime(at: first)
        #expect(paris.moment(of: twice, notAfter: second - 1) == first)
        #expect(paris.moment(of: twice, notAfter: second) == second)
        #expect(paris.moment(of: twice, notBefore: first) == first)
        #expect(paris.moment(of: twice, notBefore: first + 1) == second)
        // Half an hour is repeated, too.
        let island = try #require(TimeZone(identifier: "Australia/Lord_Howe"))
        let quarterTo = CivilTime(year: 2026, month: 4, day: 5, hour: 1, minute: 45)
        #expect(island.moment(of: quarterTo, notAfter: .infinity) - island.moment(of: quarterTo) == 1800)
        // Times that occur once, or never.
        for wall in [
            CivilTime(year: 2026, month: 10, day: 25, hour: 3),
            CivilTime(year: 2026, month: 10, day: 25, hour: 1, minute: 59),
            CivilTime(year: 2026, month: 3, day: 29, hour: 2, minute: 30),
        ] {
            #expect(paris.moment(of: wall, notAfter: .infinity) == paris.moment(of: wall))
            #expect(paris.moment(of: wall, notBefore: .infinity) == paris.moment(of: wall))
        }
    }

    /// A folder with the zones of today alone, as Debian 13 and Ubuntu 24.04 have them: every old name is known, and is
    /// the zone that Python's own copy of the data has under it.
    @Test func oldNamesThatTheSystemLacks() throws {
        let project = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let library = project.appendingPathComponent(".venv/lib")
        let versions = try FileManager.default.contentsOfDirectory(atPath: library.path).filter {
            $0.hasPrefix("python3")
        }
        let python = try #require(versions.first)
        let all = library.appendingPathComponent("\(python)/site-packages/tzdata/zoneinfo")
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("zones \(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let lines = try String(contentsOf: all.appendingPathComponent("tzdata.zi"), encoding: .utf8).split(
            separator: "\n"
        )
        func words(_ kind: String) -> [[String]] {
            lines.map { $0.split(separator: " ").map(String.init) }.filter { $0[0] == kind }
        }
        for zone in words("Z").map({ $0[1] }) {
            let file = folder.appendingPathComponent(zone)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try FileManager.default.copyItem(at: all.appendingPathComponent(zone), to: file)
        }
        let links = words("L").map { $0[2] }
        try #require(links.count > 200 && links.contains("US/Eastern"))
        func offsets(_ name: String, _ folder: URL) -> [Int]? {
            let zone = TimeZone(identifier: name, folder: folder.path)
            return zone.map { zone in stride(from: -3e9, to: 5e9, by: 5e6).map { zone.offset(at: $0) } }
        }
        for link in links {
            let expected = offsets(link, all)
            #expect(expected != nil && offsets(link, folder) == expected, "\(link)")
        }
        // And the other way: a system that knows only the old name.
        let kiev = folder.appendingPathComponent("Europe/Kiev")
        try FileManager.default.moveItem(at: folder.appendingPathComponent("Europe/Kyiv"), to: kiev)
        let today = TimeZone(identifier: "Europe/Kyiv", folder: all.path)
        #expect(TimeZone(identifier: "Europe/Kyiv", folder: folder.path) == today)
        // Without any files at all.
        #expect(TimeZone(identifier: "Zulu", folder: "/nowhere") == .utc)
        #expect(TimeZone(identifier: "US/Eastern", folder: "/nowhere") == nil)
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
