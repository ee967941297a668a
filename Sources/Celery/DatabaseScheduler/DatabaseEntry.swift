internal import Postgres
internal import TimeZones

/// One periodic task of django-celery-beat, joined with its schedule.
/// Source: django_celery_beat/models.py, and `ModelEntry` in django_celery_beat/schedulers.py.
struct DatabaseEntry: Equatable, Sendable {
    let name: String
    let task: String
    let isEnabled: Bool
    let queue: String?
    /// When it last ran, as far as beat has stored it: see `StoredRuns`. Unix seconds.
    var lastRun: Double?
    let runs: Int
    /// When it was last changed: what beat counts from before the first run.
    let changed: Double?
    /// When it may first run.
    let start: Double?
    /// When it ends: beat switches it off then.
    let expires: Double?
    let isOneOff: Bool
    let timing: Timing
    /// The time zone that makes the timing invalid, since the system lacks it.
    let unknownZone: String?

    enum Timing: Equatable, Sendable {
        case interval(seconds: Double)
        case crontab(Crontab, TimeZone)
        /// Once, at this time.
        case clocked(Double)
        /// Solar events, whose time only beat computes.
        case opaque
        /// No schedule, or one that cannot be read.
        case invalid
    }
}

extension DatabaseEntry {
    /// Of the tables of periodic tasks (p), intervals (i), crontabs (c) and clocked times (k). Django bounds each text; a
    /// table without its bounds may not.
    enum Column: Int, SelectedColumn {
        case name, task, isEnabled, queue, lastRun, runs, changed, start, expires, isOneOff
        case every, period
        case minute, hour, dayOfWeek, dayOfMonth, monthOfYear, zone
        case clocked, isSolar

        var expression: String {
            switch self {
            case .name: "left(p.name::text, 200)"
            case .task: "left(p.task::text, 200)"
            case .isEnabled: "p.enabled::text = 'true'"
            case .queue: "left(p.queue::text, 200)"
            case .lastRun: "extract(epoch FROM p.last_run_at)"
            case .runs: "p.total_run_count::bigint"
            case .changed: "extract(epoch FROM p.date_changed)"
            case .start: "extract(epoch FROM p.start_time)"
            case .expires: "extract(epoch FROM p.expires)"
            case .isOneOff: "p.one_off::text = 'true'"
            case .every: "i.every::bigint"
            case .period: "left(i.period::text, 24)"
            case .minute: "left(c.minute::text, 240)"
            case .hour: "left(c.hour::text, 96)"
            case .dayOfWeek: "left(c.day_of_week::text, 64)"
            case .dayOfMonth: "left(c.day_of_month::text, 124)"
            case .monthOfYear: "left(c.month_of_year::text, 64)"
            case .zone: "left(c.timezone::text, 64)"
            case .clocked: "extract(epoch FROM k.clocked_time)"
            case .isSolar: "p.solar_id IS NOT NULL"
            }
        }
    }

    init?(_ row: PostgresRow) {
        guard let name = row.text(Column.name), let task = row.text(Column.task) else { return nil }
        self.name = name
        self.task = task
        isEnabled = row.boolean(Column.isEnabled) ?? false
        queue = row.text(Column.queue)
        lastRun = row.time(Column.lastRun)
        runs = row.count(Column.runs) ?? 0
        changed = row.time(Column.changed)
        start = row.time(Column.start)
        expires = row.time(Column.expires)
        isOneOff = row.boolean(Column.isOneOff) ?? false
        timing = Self.timing(row)
        unknownZone = row.text(Column.zone).flatMap { TimeZoneCache.zone(.identifier($0)) == nil ? $0 : nil }
    }

    /// What Python's `timedelta` holds, in seconds.
    private static let longestInterval = 86_400 * 999_999_999.0

    private static func timing(_ row: PostgresRow) -> Timing {
        if let every = row.number(Column.every), let period = row.text(Column.period) {
            let units = ["days": 86_400.0, "hours": 3600, "minutes": 60, "seconds": 1, "microseconds": 1e-6]
            guard let unit = units[period], every > 0, every * unit <= longestInterval else { return .invalid }
            return .interval(seconds: every * unit)
        }
        if let minute = row.text(Column.minute) {
            guard
                let crontab = Crontab(
                    minute: minute,
                    hour: row.text(Column.hour) ?? "*",
                    dayOfWeek: row.text(Column.dayOfWeek) ?? "*",
                    dayOfMonth: row.text(Column.dayOfMonth) ?? "*",
                    monthOfYear: row.text(Column.monthOfYear) ?? "*"
                ),
                let zone = TimeZoneCache.zone(.identifier(row.text(Column.zone) ?? "UTC"))
            else { return .invalid }
            return .crontab(crontab, zone)
        }
        if row.number(Column.clocked) != nil { return row.time(Column.clocked).map { .clocked($0) } ?? .invalid }
        return row.boolean(Column.isSolar) == true ? .opaque : .invalid
    }

    /// When a run after one at `moment` is due by the schedule alone; nil when that is unknown or never.
    func scheduledTime(after moment: Double) -> Double? {
        switch timing {
        case .interval(let seconds): moment + seconds
        case .crontab(let crontab, let zone): crontab.due(after: moment, in: zone)
        case .clocked(let time): time > moment ? time : nil
        case .opaque, .invalid: nil
        }
    }

    /// When it is next due by its row; nil when never again, and where that cannot be computed.
    ///
    /// Before the first run of an entry, versions up to 2.7 count from their own start, later ones from its last change.
    /// - Parameters:
    ///   - firstBeatStart: since when any beat is known to have been alive; the time of a crontab that passed since then
    ///     was missed, even if beat counts from later.
    ///   - beatStart: since when the beat of now is.
    func due(at now: Double, firstBeatStart: Double?, beatStart: Double?) -> Double? {
        if let expires, now >= expires { return nil }
        if isOneOff, runs > 0 { return nil }
        let due: Double?
        if case .clocked(let time) = timing {
            due = time
        } else if let lastRun {
            due = scheduledTime(after: lastRun)
        } else if let start {
            // Beat pretends that it ran 30 years before, so that it is due at its start.
            due = start
        } else {
            let baseline =
                if case .crontab = timing { firstBeatStart } else { beatStart }
            due = changed.flatMap { scheduledTime(after: max($0, baseline ?? $0)) }
        }
        guard let due else { return nil }
        let later = max(due, start ?? due)
        return expires.map { later < $0 ? later : nil } ?? later
    }

    /// When it is due again after `moment`, if it was sent every time from `due` on; nil when never.
    func nextDue(from due: Double, after moment: Double) -> Double? {
        if isOneOff { return nil }
        switch timing {
        case .interval(let seconds): return due + (((moment - due) / seconds).rounded(.down) + 1) * seconds
        case .crontab(let crontab, let zone): return crontab.due(after: moment, in: zone)
        case .clocked, .opaque, .invalid: return nil
        }
    }
}
