internal import JSON
package import TimeZones

/// A crontab as Celery understands it: a minute is due when ALL five fields match.
/// Source: celery/schedules.py, `crontab` and `crontab_parser`.
package struct Crontab: Equatable, Sendable {
    // A field is the set of its matching numbers, number n as bit n.
    private let minutes: UInt64
    private let hours: UInt64
    private let daysOfWeek: UInt64
    private let daysOfMonth: UInt64
    private let monthsOfYear: UInt64

    /// Years that are searched for the next match: 29 February on a given weekday comes back after at most 40 years.
    private static let searchedYears = 40

    /// - Returns: nil when a field is none that Celery would accept.
    package init?(
        minute: String = "*",
        hour: String = "*",
        dayOfWeek: String = "*",
        dayOfMonth: String = "*",
        monthOfYear: String = "*"
    ) {
        self.init { name in
            switch name {
            case "minute": .string(minute)
            case "hour": .string(hour)
            case "day_of_week": .string(dayOfWeek)
            case "day_of_month": .string(dayOfMonth)
            default: .string(monthOfYear)
            }
        }
    }

    /// Reads the fields under the names Celery gives them, each a string, a number or a list of numbers; `*` where absent.
    init?(field: (String) -> JSONValue?) {
        guard let minutes = Self.numbers(field("minute"), in: 0...59),
            let hours = Self.numbers(field("hour"), in: 0...23),
            let daysOfWeek = Self.numbers(field("day_of_week"), in: 0...6),
            let daysOfMonth = Self.numbers(field("day_of_month"), in: 1...31),
            let monthsOfYear = Self.numbers(field("month_of_year"), in: 1...12),
            Self.haveCommonDate(monthsOfYear: monthsOfYear, daysOfMonth: daysOfMonth)
        else { return nil }
        self.minutes = minutes
        self.hours = hours
        self.daysOfWeek = daysOfWeek
        self.daysOfMonth = daysOfMonth
        self.monthsOfYear = monthsOfYear
    }

    /// The first due moment whose minute is later than the minute of `lastRun`; nil when there is none within the search.
    ///
    /// When clocks are put back, minutes of the hour that occurs twice are due in the first one only: Celery goes from
    /// 02:40 to 03:00. After a run in the second one Celery 5.7 takes the next for overdue since an hour and sends it at
    /// each tick; earlier versions wait for it, so that it is due then.
    package func due(after lastRun: Double, in zone: TimeZone) -> Double? {
        // Foreign data: PostgreSQL has infinite times, and others that no calendar holds.
        guard abs(lastRun) < 1e11 else { return nil }
        let wall = zone.civilTime(at: lastRun)
        let firstDay = CivilTime(year: wall.year, month: wall.month, day: wall.day).daysSinceEpoch
        if let time = firstTime(from: wall.hour * 60 + wall.minute + 1), matches(CivilTime(daysSinceEpoch: firstDay)) {
            return moment(day: firstDay, time: time, notBefore: lastRun, in: zone)
        }
        guard let time = firstTime(from: 0) else { return nil }
        var day = firstDay + 1
        while true {
            let date = CivilTime(daysSinceEpoch: day)
            if date.year > wall.year + Self.searchedYears { return nil }
            if monthsOfYear & 1 << UInt64(date.month) == 0 {
                day += CivilTime.daysIn(month: date.month, of: date.year) - date.day + 1
            } else if matches(date) {
                return moment(day: day, time: time, notBefore: lastRun, in: zone)
            } else {
                day += 1
            }
        }
    }

    private func moment(day: Int, time: Int, notBefore lastRun: Double, in zone: TimeZone) -> Double {
        var wall = CivilTime(daysSinceEpoch: day)
        wall.hour = time / 60
        wall.minute = time % 60
        return zone.moment(of: wall, notBefore: lastRun)
    }

    private func matches(_ date: CivilTime) -> Bool {
        monthsOfYear & 1 << UInt64(date.month) != 0 && daysOfMonth & 1 << UInt64(date.day) != 0
            && daysOfWeek & 1 << UInt64(date.weekday) != 0
    }

    /// The first matching minute of a day at or after a given one.
    private func firstTime(from minuteOfDay: Int) -> Int? {
        (minuteOfDay..<max(minuteOfDay, 1440)).first { time in
            hours & 1 << UInt64(time / 60) != 0 && minutes & 1 << UInt64(time % 60) != 0
        }
    }

    // MARK: Fields

    /// Celery refuses 31 April and the like.
    private static func haveCommonDate(monthsOfYear: UInt64, daysOfMonth: UInt64) -> Bool {
        // 2024 is a leap year.
        (1...12).contains { month in
            let days = 1...UInt64(CivilTime.daysIn(month: month, of: 2024))
            return monthsOfYear & 1 << UInt64(month) != 0 && days.contains { daysOfMonth & 1 << $0 != 0 }
        }
    }

    private static func numbers(_ field: JSONValue?, in range: ClosedRange<Int>) -> UInt64? {
        switch field {
        case nil: return CrontabField(range).numbers("*")
        case .string(let text): return CrontabField(range).numbers(text)
        case .number, .boolean: return set([field], in: range)
        // An empty list passes Celery's constructor, and ends beat as soon as the entry is looked at.
        case .array(let elements): return elements.isEmpty ? nil : set(elements, in: range)
        case .null, .object: return nil
        }
    }

    /// Numbers that stand for themselves. To Python true is 1 and false is 0.
    private static func set(_ values: [JSONValue?], in range: ClosedRange<Int>) -> UInt64? {
        var set: UInt64 = 0
        for value in values {
            guard let number = value?.integer ?? value?.boolean.map({ $0 ? 1 : 0 }), range.contains(number) else {
                return nil
            }
            set |= 1 << UInt64(number)
        }
        return set
    }
}
