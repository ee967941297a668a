internal import JSON
internal import Reading
internal import System
internal import TimeZones

/// One schedule entry, decoded from its hash. Source: redbeat/decoder.py and `RedBeatSchedulerEntry.save`.
///
///     definition {"name": "every-5s", "task": "tasks.add", "args": [1, 2], "kwargs": {}, "options": {"queue": "mail"},
///                 "schedule": {"__type__": "interval", "every": 5.0, "relative": false}, "enabled": true}
///     meta       {"last_run_at": {"__type__": "datetime", "year": 2026, …, "timezone": "UTC"}, "total_run_count": 6}
struct RedBeatEntry: Equatable, Sendable {
    /// A larger field is not read, although beat may.
    static let maximumFieldBytes = 8 << 20

    /// Names become labels of many series; in Unicode scalars, as a character may have any number of bytes.
    static let maximumNameLength = 200

    let name: String
    let task: String
    let isEnabled: Bool
    let queue: String?
    let schedule: Schedule
    /// Unix seconds. Before the first run it is when the entry was created.
    var lastRunAt: Double?
    /// What was written for that: the wall clock, which shows some times twice.
    private let lastRunWall: CivilTime?
    /// The zone in which `lastRunAt` was written: the application's, once beat has run the entry.
    let zone: Zone?
    /// Runs so far; nil before the first.
    let totalRunCount: Int?

    enum Zone: Hashable, Sendable {
        case identifier(String)
        /// Seconds east of UTC, as Celery 5.2 with pytz writes.
        case offset(Int)
    }

    /// How far beat's clock may be ahead where it is asked which of two occurrences of a wall-clock time is meant.
    private static let clockTolerance = 60.0

    /// - Parameters:
    ///   - time: when it was read, Unix seconds. A last run whose wall-clock time occurs twice is the later of the two that
    ///     is not after this; the first where nil.
    ///   - known: the entry as it was read before. A run that was there already stays when it was.
    /// - Returns: nil when beat could not load it either.
    init?(definition: [UInt8], meta: [UInt8]?, at time: Double? = nil, known: RedBeatEntry? = nil) {
        let definition = Self.parsed(definition)
        let hasMeta = !(meta ?? []).isEmpty
        let meta = meta.flatMap { JSONParser.parse($0) }
        guard RedBeatFault(definition: definition, meta: meta, hasMeta: hasMeta) == nil,
            let name = definition?["name"]?.string, let task = definition?["task"]?.string,
            let schedule = Self.schedule(definition?["schedule"])
        else { return nil }
        self.name = name.firstScalars(Self.maximumNameLength)
        self.task = task.firstScalars(Self.maximumNameLength)
        self.schedule = schedule
        isEnabled = definition?["enabled"]?.isTrue ?? true
        queue = definition?["options"]?["queue"]?.string.flatMap { KombuKeys.isQueueName($0) ? $0 : nil }

        guard let meta else {
            (lastRunAt, lastRunWall, zone, totalRunCount) = (nil, nil, nil, nil)
            return
        }
        // Whole numbers are exact up to 2^53; nothing has run more often.
        totalRunCount = meta["total_run_count"]?.integer.flatMap { (0...1 << 53).contains($0) ? $0 : nil }
        switch meta["last_run_at"] {
        case nil, .null: (lastRunAt, lastRunWall, zone) = (nil, nil, nil)
        case let value?:
            // A zone this system does not know makes the moment unknowable, and with it the entry.
            guard let (wall, zone) = Self.wallTime(value),
                let rules = zone.map({ TimeZoneCache.zone($0) }) ?? TimeZone.utc
            else { return nil }
            (lastRunWall, self.zone) = (wall, zone)
            if let known, known.lastRunWall == wall, known.zone == zone {
                lastRunAt = known.lastRunAt
            } else {
                lastRunAt = rules.moment(of: wall, notAfter: time.map { $0 + Self.clockTolerance } ?? -.infinity)
            }
        }
    }

    /// What is wrong with an entry that cannot be read, as it follows the entry's name in a message.
    static func problem(definition: [UInt8], meta: [UInt8]?) -> (kind: ErrorReason, text: String) {
        guard !JSONParser.hasTooMuch(definition, leavingOut: leftOut), !JSONParser.hasTooMuch(meta ?? []) else {
            let limit = JSONParser.maximumValues
            return (.overLimit, "has more than \(limit) values, and is not read: beat may run it all the same")
        }
        let fault = RedBeatFault(
            definition: parsed(definition),
            meta: meta.flatMap { JSONParser.parse($0) },
            hasMeta: !(meta ?? []).isEmpty
        )
        return (.malformed, fault?.description ?? "cannot be decoded; fix or delete it")
    }

    /// Whether a definition names another entry than RedBeat keeps under this key, which is the prefix and the entry's
    /// whole name. One that names none may be anybody's.
    static func isOther(_ definition: [UInt8], than key: [UInt8], prefix: String) -> Bool {
        parsed(definition)?["name"]?.string.map { Array((prefix + $0).utf8) != key } ?? false
    }

    /// Arguments can be megabytes, and say nothing here.
    private static func parsed(_ definition: [UInt8]) -> JSONValue? {
        JSONParser.parse(definition, leavingOut: leftOut)
    }

    private static let leftOut: Set = ["args", "kwargs"]

    /// The zone of the last run where the system lacks it, which is why the entry cannot be read.
    static func unknownZone(inMeta meta: [UInt8]) -> String? {
        guard let name = JSONParser.parse(meta)?["last_run_at"]?["timezone"]?.string else { return nil }
        return TimeZoneCache.zone(.identifier(name)) == nil ? name.firstScalars(64) : nil
    }

    private static func schedule(_ value: JSONValue?) -> Schedule? {
        // A number is an interval. Source: celery/schedules.py, `maybe_schedule`.
        if let seconds = value?.number { return interval(seconds, relative: false) }
        guard let value, let type = value["__type__"]?.string else { return nil }
        switch type {
        case "interval":
            let seconds = value["every"]?.number ?? (value["every"]?.boolean).map { $0 ? 1 : 0 }
            return interval(seconds, relative: value["relative"]?.isTrue ?? false)
        case "crontab":
            return Crontab { value[$0] }.map { .crontab($0) }
        default:
            return .opaque(type: type)
        }
    }

    /// Nil for no number, and for what nobody waits for: a century bounds the arithmetic that follows.
    private static func interval(_ seconds: Double?, relative: Bool) -> Schedule? {
        guard let seconds, seconds < 3.2e9, seconds > -3.2e9 else { return nil }
        return .interval(seconds: max(0, seconds), relative: relative)
    }

    /// Wall-clock parts in a zone given by name, or by its offset in seconds.
    private static func wallTime(_ value: JSONValue) -> (CivilTime, Zone?)? {
        guard let year = value["year"]?.integer, (1970...9999).contains(year),
            let month = value["month"]?.integer, (1...12).contains(month),
            let day = value["day"]?.integer, (1...CivilTime.daysIn(month: month, of: year)).contains(day)
        else { return nil }
        func part(_ key: String, below limit: Int) -> Int? {
            guard let member = value[key] else { return 0 }
            return member.integer.flatMap { (0..<limit).contains($0) ? $0 : nil }
        }
        guard let hour = part("hour", below: 24), let minute = part("minute", below: 60),
            let second = part("second", below: 60), let microsecond = part("microsecond", below: 1_000_000)
        else { return nil }
        let wall = CivilTime(
            year: year,
            month: month,
            day: day,
            hour: hour,
            minute: minute,
            second: Double(second) + Double(microsecond) / 1e6
        )
        let zone: Zone?
        switch value["timezone"] {
        case nil, .null: zone = nil
        case .string(let identifier): zone = .identifier(identifier)
        case .number(let seconds) where abs(seconds) < 86_400: zone = .offset(Int(seconds))
        default: return nil
        }
        return (wall, zone)
    }
}
