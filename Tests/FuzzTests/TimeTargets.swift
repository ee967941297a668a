import struct Foundation.Data
import struct Foundation.URL

@testable import Celery
@testable import Configuration
@testable import TimeZones

/// Crontabs, zones and durations.
let timeTargets = [
    // The five fields and the moment of the last run.
    FuzzTarget(
        "crontab",
        [
            "*/15 8-18 * * 1-5 1795221905", "13 0 13 * fri 0", "0 4 29 2 sun 1e10",
            "*/2,59 22-3 1-31/7 jan,feb-dec mon-sun 1795221905.5",
        ]
    ) { bytes in
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ").map(String.init)
        guard fields.count == 6, let last = Double(fields[5]),
            let crontab = Crontab(
                minute: fields[0],
                hour: fields[1],
                dayOfWeek: fields[4],
                dayOfMonth: fields[2],
                monthOfYear: fields[3]
            )
        else { return nil }
        for zone in zones { _ = crontab.due(after: last, in: zone) }
        guard let due = crontab.due(after: last, in: .utc) else { return nil }
        guard due > last, due.remainder(dividingBy: 60) == 0 else { return "due at \(due) after \(last)" }
        let again = crontab.due(after: due - 60, in: .utc)
        return again == due ? nil : "due at \(due), and from a minute before it at \(again ?? 0)"
    },
    FuzzTarget(
        "zone-rule",
        [
            "CET-1CEST,M3.5.0,M10.5.0/3", "<+0330>-3:30", "EST5EDT,J60/0,300/167:59:59",
            "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        ]
    ) { bytes in
        guard let rule = PosixTimeZoneRule(String(decoding: bytes, as: UTF8.self)) else { return nil }
        return moments.map { rule.offset(at: $0) }.first { abs($0) > 168 * 3600 }.map { "an offset of \($0) s" }
    },
    FuzzTarget("zone-file", bytes: zoneFiles) { bytes in
        guard let zone = TimeZone(tzif: bytes) else { return nil }
        for moment in moments { _ = zone.moment(of: zone.civilTime(at: moment)) }
        return nil
    },
    FuzzTarget("zone-name", ["Europe/Paris", "../zoneinfo/UTC", "Etc/GMT+5", "posixrules", "zone.tab"]) { bytes in
        let name = String(decoding: bytes, as: UTF8.self)
        return TimeZone(identifier: name) != nil && name.contains(".") ? "leads out of the folder" : nil
    },
    FuzzTarget("duration", ["500ms", "1h30m", "1y2w3d4h5m6s7ms", "0", "10s"]) { bytes in
        let duration = PrometheusDuration.parse(String(decoding: bytes, as: UTF8.self))
        return duration.map { $0 >= .zero } ?? true ? nil : "\(duration ?? .zero)"
    },
]

/// The ends of what dates of entries can be, and moments in between.
private let moments: [Double] = [-1e11, -1e9, 0, 1_774_745_999, 1_795_221_905.5, 4_117_000_000, 253_402_300_799, 1e11]
private let zones = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"].compactMap {
    TimeZone(identifier: $0)
}
private let zoneFiles = ["Europe/Paris", "America/New_York", "UTC", "Asia/Kathmandu"].compactMap { name in
    (try? Data(contentsOf: URL(fileURLWithPath: "/usr/share/zoneinfo/\(name)"))).map { [UInt8]($0) }
}
