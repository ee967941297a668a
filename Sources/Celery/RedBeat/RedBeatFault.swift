internal import JSON
internal import System

/// What is wrong with a stored entry, by what RedBeat does with it.
///
/// RedBeat passes every member of definition and meta on to Python constructors as it finds them. A missing member that
/// it asks for by name is a `KeyError`, which makes it take the entry out of its schedule; any other error ends beat.
/// Source: redbeat/schedulers.py, `RedBeatSchedulerEntry.from_key` and `RedBeatScheduler.schedule`; redbeat/decoder.py.
enum RedBeatFault: Equatable {
    /// Beat ends with an error when it loads the entry, at every start again.
    case endsBeat(String)
    /// Beat removes the entry from its schedule when it loads it.
    case isRemoved(String)

    /// What follows the name of the entry in a message.
    var description: String {
        switch self {
        case .endsBeat(let cause): "\(cause): beat ends as soon as it loads it; fix or delete it"
        case .isRemoved(let cause):
            "\(cause): beat takes it out of the schedule and never runs it; fix it and save it again"
        }
    }

    /// - Parameters:
    ///   - definition: as parsed; nil where it is no JSON.
    ///   - meta: as parsed; nil where it is no JSON or is missing.
    init?(definition: JSONValue?, meta: JSONValue?, hasMeta: Bool) {
        guard case .object(let members)? = definition else {
            self = .endsBeat("has no JSON object as its definition")
            return
        }
        if hasMeta {
            guard case .object(let meta)? = meta else {
                self = .endsBeat("has no JSON object as its meta")
                return
            }
            guard let lastRun = meta["last_run_at"] else {
                self = .isRemoved("has no last_run_at in its meta")
                return
            }
            if let fault = Self.unknown(meta, known: Self.entryMembers, in: "its meta") ?? Self.moment(lastRun) {
                self = fault
                return
            }
        }
        guard
            let fault = Self.unknown(members, known: Self.entryMembers, in: "its definition") ?? Self.schedule(members)
        else { return nil }
        self = fault
    }

    private static func schedule(_ members: [String: JSONValue]) -> RedBeatFault? {
        switch members["schedule"] {
        case .number: return nil
        case .object(let schedule)?:
            switch schedule["__type__"]?.string {
            case "interval":
                for name in ["every", "relative"] where schedule[name] == nil {
                    return .isRemoved("has an interval without the member \(name)")
                }
                switch schedule["every"] {
                case .boolean: return nil
                case .number(let seconds) where abs(seconds) < 8e13: return nil
                default: return .endsBeat("has an interval that is no number of seconds")
                }
            case "crontab":
                if let fault = unknown(schedule, known: crontabMembers, in: "its crontab") { return fault }
                return Crontab { schedule[$0] } == nil ? .endsBeat("has a crontab that Celery does not accept") : nil
            case "rrule":
                if schedule["freq"] == nil { return .endsBeat("has an rrule without the member freq") }
                return unknown(schedule, known: rruleMembers, in: "its rrule")
            default: break
            }
        default: break
        }
        return .endsBeat("has no schedule that RedBeat knows")
    }

    private static func moment(_ value: JSONValue) -> RedBeatFault? {
        switch value {
        case .null: return nil
        case .object(let members):
            if let type = members["__type__"]?.string, type != "datetime" { break }
            return unknown(members, known: datetimeMembers, in: "its last_run_at")
        default: break
        }
        return .endsBeat("has a last_run_at that is no time")
    }

    /// A member that its constructor does not take: the first by name.
    private static func unknown(_ members: [String: JSONValue], known: Set<String>, in place: String) -> RedBeatFault? {
        members.keys.filter { !known.contains($0) }.min().map { name in
            .endsBeat("has a member \(name.firstScalars(50)) in \(place) that RedBeat does not know")
        }
    }

    /// Source: celery/beat.py, `ScheduleEntry.__init__`, and RedBeat's own.
    private static let entryMembers: Set<String> = [
        "name", "task", "schedule", "args", "kwargs", "enabled", "options", "last_run_at", "total_run_count",
        "relative",
    ]
    /// Source: celery/schedules.py, `crontab.__init__` and `BaseSchedule.__init__`.
    private static let crontabMembers: Set<String> = [
        "__type__", "minute", "hour", "day_of_week", "day_of_month", "month_of_year", "nowfun", "app",
    ]
    /// Source: redbeat/schedules.py, `rrule.__init__`, and the decoder.
    private static let rruleMembers: Set<String> = [
        "__type__", "freq", "dtstart", "dtstart_tz", "interval", "wkst", "count", "until", "until_tz", "bysetpos",
        "bymonth", "bymonthday", "byyearday", "byeaster", "byweekno", "byweekday", "byhour", "byminute", "bysecond",
        "nowfun", "app",
    ]
    private static let datetimeMembers: Set<String> = [
        "__type__", "year", "month", "day", "hour", "minute", "second", "microsecond", "timezone", "fold",
    ]
}
