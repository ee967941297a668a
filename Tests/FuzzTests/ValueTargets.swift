import Exposition
import Glibc
import JSON
import Redis
import System

@testable import Celery
@testable import Metrics

/// What Celery, kombu and RedBeat write into Redis.
let valueTargets = [
    FuzzTarget("json", entryTexts + ["[1, -2.5e3, NaN, -Infinity, \"\\ud83e\\udd6c\\n\", null, true, [[[]]]]"]) {
        bytes in
        _ = JSONParser.parse(bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        return JSONParser.parse(Array(JSONText.quoted(text).utf8)) == .string(text)
            ? nil : "is not read as it was written"
    },
    FuzzTarget("redbeat-entry", entrySamples) { bytes in
        let parts = parts(bytes, 2)
        guard let entry = RedBeatEntry(definition: parts[0], meta: parts[1]) else { return nil }
        guard entry.name.count <= 200, entry.task.count <= 200, entry.queue?.utf8.count ?? 0 <= 255 else {
            return "long names"
        }
        guard entry.totalRunCount ?? 0 >= 0 else { return "runs \(entry.totalRunCount ?? 0)" }
        guard entry.lastRunAt.map({ abs($0) < 3e11 }) ?? true else { return "last run \(entry.lastRunAt ?? 0)" }
        return nil
    },
    // Seconds between readings, time to live in milliseconds, idle time and score; then entries, each as above.
    FuzzTarget(
        "redbeat-tracker",
        ["10 1490500 9 1795221960", "0 -1 0 -1", "1 1500000 3000000000 nan", "1e9 9223372036854775807 -5 inf"].flatMap {
            numbers in
            entrySamples.map { "\(numbers)\(separator)\($0)" }
        }
    ) { bytes in
        let parts = parts(bytes, 9)
        let numbers = String(decoding: parts[0], as: UTF8.self).split(separator: " ").map { Double($0) ?? 0 }
        func number(_ index: Int) -> Double { index < numbers.count ? numbers[index] : 0 }
        // As Redis has it: integers of 64 bits.
        func whole(_ index: Int) -> Int64 { Int64(exactly: number(index).rounded(.towardZero)) ?? .max }
        for lock in [RedBeatConfiguration.Lock.standard, .off] {
            var configuration = RedBeatConfiguration()
            configuration.lock = lock
            var tracker = RedBeatTracker(configuration: configuration)
            var time = 1_795_221_950.0
            for step in 0..<4 {
                var reading = RedBeatReading(time: time)
                reading.duration = 0.01
                reading.lock = RedBeatReading.Lock(
                    token: step == 0 ? nil : String(decoding: parts[step], as: UTF8.self),
                    timeToLive: Double(whole(1)) / 1000,
                    idle: Double(whole(2))
                )
                reading.scheduleIdle = Double(whole(2))
                reading.hasScores = lock == .standard
                reading.entries = stride(from: 1, to: parts.count - 1, by: 2).map { index in
                    RedBeatReading.Entry(
                        key: [UInt8(index)],
                        score: number(3) + Double(index),
                        content: RedBeatEntry(definition: parts[index], meta: parts[(index + step) % parts.count])
                    )
                }
                reading.entryCount = reading.entries.count
                let state = tracker.observe(reading)
                let families = BeatFamilies.families(of: state, scheduler: "redbeat", maximumEntrySeries: 100)
                if let wrong = notNumbers(in: families) { return "\(wrong) after \(step) readings" }
                // Redis's clock is a whole number of microseconds, whatever else it is.
                if abs(number(0)) < 1e12 { time += number(0) }
            }
        }
        return nil
    },
    FuzzTarget("lock-token", ["8c534400e54411f19fe5b02fc0000000", "ffffffffffff1fffffffffffffffffff"]) { bytes in
        let time = LockToken.startTime(String(decoding: bytes, as: UTF8.self))
        return time.map { $0.isFinite } ?? true ? nil : "\(time ?? 0)"
    },
    FuzzTarget(
        "information",
        ["# Persistence\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:1795221000\r\ntotal_forks:3\r\n"]
    ) {
        bytes in
        var times = IdleTimes()
        for _ in 0..<2 { times.observe(ServerInformation(.string(bytes), .error("ERR"))) }
        let idle = times.trusted(9, at: 1_795_221_950)
        return idle ?? 9 == 9 ? nil : "\(idle ?? 0) s instead of 9"
    },
    FuzzTarget(
        "binding",
        ["mail\u{6}\u{16}\u{6}\u{16}mail", "\u{6}\u{16}\u{6}\u{16}", "celery\u{6}\u{16}a.*\u{6}\u{16}celery"]
    ) { bytes in
        let member = String(decoding: bytes, as: UTF8.self)
        _ = globEscaped(member)
        guard let queue = KombuKeys().queue(ofBinding: member) else { return nil }
        return !queue.isEmpty && member.hasSuffix(queue) ? nil : "the queue \(queue)"
    },
    FuzzTarget("glob", ["_kombu.binding.*", "a[b-c]?\\d"]) { bytes in
        // What is escaped matches itself alone.
        guard !bytes.contains(0) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        return fnmatch(globEscaped(text), text, 0) == 0 ? nil : "does not match itself"
    },
    FuzzTarget("ping", pingSamples) { bytes in
        let address = PingMessage.Address(pattern: "celerybeat@*", replyKey: "reply")
        _ = PingMessage.ticket(ofAnswer: bytes, to: address)
        let envelope = PingMessage.envelope(
            PingMessage.Address(pattern: String(decoding: bytes, as: UTF8.self), replyKey: "reply"),
            ticket: "ticket"
        )
        let body = JSONParser.parse(Array(envelope.utf8))?["body"]?.string.flatMap { Base64.decode($0) }
        let pattern = body.flatMap { JSONParser.parse($0) }?["pattern"]?.string
        return pattern == String(decoding: bytes, as: UTF8.self) ? nil : "the ping asks for \(pattern ?? "nobody")"
    },
    FuzzTarget("base64", ["", "YQ==", "YWI=", "YWJj", "====", "a"]) { bytes in
        _ = Base64.decode(String(decoding: bytes, as: UTF8.self))
        return Base64.decode(Base64.encode(bytes)) == bytes ? nil : "is not decoded as it was encoded"
    },
    FuzzTarget("sql-name", ["jobs.runs", "\"Jobs\".\"Ru\"\"ns\"", "a.b.c", "\"", "\"\".x"]) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        guard let parts = SQLName.parts(text) else { return nil }
        let again = parts.map { SQLName.quoted($0) }.joined(separator: ".")
        return SQLName.parts(again) == parts ? nil : "\(parts) becomes \(again)"
    },
]

/// The first sample that is no number: it would silence a rule.
private func notNumbers(in families: [MetricFamily]) -> String? {
    for family in families {
        for sample in family.samples where !sample.value.isFinite { return "\(family.name) is \(sample.value)" }
    }
    return nil
}

private let intervalDefinition = """
    {"name": "every-5s", "task": "tasks.add", "args": [1, 2], "kwargs": {}, "options": {"queue": "mail"}, \
    "schedule": {"__type__": "interval", "every": 5.0, "relative": false}, "enabled": true}
    """
private let crontabDefinition = """
    {"name": "b\\u00fccher 📚", "task": "tasks.mul", "args": null, "kwargs": {}, "options": {}, "schedule": \
    {"__type__": "crontab", "minute": "*/15", "hour": [1, 2, 3], "day_of_week": "mon-fri", "day_of_month": "1-15", \
    "month_of_year": 5}, "enabled": false}
    """
private let ruleDefinition = """
    {"name": "rule", "task": "tasks.rule", "schedule": {"__type__": "rrule", "freq": 5, "dtstart": 1795222507, \
    "byweekday": [0, {"__type__": "weekday", "wkday": 1}]}}
    """
private func meta(_ zone: String) -> String {
    """
    {"last_run_at": {"__type__": "datetime", "year": 2026, "month": 11, "day": 21, "hour": 0, "minute": 44, "second": 59, \
    "microsecond": 123456, "timezone": \(zone)}, "total_run_count": 6}
    """
}
private let entryTexts = [
    intervalDefinition, crontabDefinition, ruleDefinition, meta("\"Europe/Paris\""), meta("-3600.0"),
]
private let entrySamples = [
    "\(intervalDefinition)\(separator)\(meta("\"UTC\""))",
    "\(crontabDefinition)\(separator)\(meta("\"Europe/Paris\""))",
    "\(ruleDefinition)\(separator)\(meta("7200"))",
    "\(intervalDefinition)\(separator){\"last_run_at\": null}",
    "\(crontabDefinition)\(separator)",
]

private let pingSamples: [String] = {
    let body = Base64.encode(Array("{\"celerybeat@host\": {\"ok\": \"pong\"}}".utf8))
    return [
        "{\"body\": \"\(body)\", \"headers\": {\"clock\": 1, \"ticket\": \"8c534400\"}, \"content-type\": \"application/json\"}",
        "celerybeat@[a-z]*",
    ]
}()
