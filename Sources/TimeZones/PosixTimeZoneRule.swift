/// A POSIX TZ string such as `CET-1CEST,M3.5.0,M10.5.0/3`: the rule for all years to come in a TZif file.
/// Source: RFC 9636, section 3.3, and POSIX.1-2017, section 8.3. Of the forms of a date only `Mm.w.d`, `Jn` and `n`
/// exist, and all are understood.
struct PosixTimeZoneRule: Equatable, Sendable {
    private let standardOffset: Int
    private let daylight: Daylight?

    private struct Daylight: Equatable, Sendable {
        let offset: Int
        let start: YearlyMoment
        let end: YearlyMoment
    }

    private struct YearlyMoment: Equatable, Sendable {
        enum Day: Equatable, Sendable {
            /// Week 5 is the last one; weekday 0 is Sunday.
            case weekday(month: Int, week: Int, weekday: Int)
            /// 1 to 365, never counting 29 February.
            case julian(Int)
            /// 0 to 365.
            case zeroBased(Int)
        }
        let day: Day
        /// Seconds after midnight of the wall clock; may be negative or beyond a day.
        let time: Int

        /// Wall-clock seconds since 1970 in a year.
        func wallSeconds(in year: Int) -> Int {
            let days: Int
            switch day {
            case .weekday(let month, let week, let weekday):
                let first = CivilTime(year: year, month: month, day: 1)
                var number = 1 + (weekday - first.weekday + 7) % 7 + (week - 1) * 7
                if number > CivilTime.daysIn(month: month, of: year) { number -= 7 }
                days = CivilTime(year: year, month: month, day: number).daysSinceEpoch
            case .julian(let number):
                let leap = CivilTime.daysIn(month: 2, of: year) == 29 && number >= 60
                days = CivilTime(year: year, month: 1, day: 1).daysSinceEpoch + number - 1 + (leap ? 1 : 0)
            case .zeroBased(let number):
                days = CivilTime(year: year, month: 1, day: 1).daysSinceEpoch + number
            }
            return days * 86_400 + time
        }
    }

    init?(_ text: some StringProtocol) {
        var rest = Substring(text)
        guard Self.skipName(&rest), let offset = Self.takeTime(&rest) else { return nil }
        standardOffset = -offset
        guard !rest.isEmpty else {
            daylight = nil
            return
        }
        guard Self.skipName(&rest) else { return nil }
        var daylightOffset = standardOffset + 3600
        if rest.first != "," {
            guard let offset = Self.takeTime(&rest) else { return nil }
            daylightOffset = -offset
        }
        guard let start = Self.takeMoment(&rest), let end = Self.takeMoment(&rest), rest.isEmpty else { return nil }
        daylight = Daylight(offset: daylightOffset, start: start, end: end)
    }

    func offset(at moment: Double) -> Int {
        guard let daylight else { return standardOffset }
        let year = CivilTime(secondsSinceEpoch: moment + Double(standardOffset)).year
        // Each change is given in the wall clock that it ends.
        let start = Double(daylight.start.wallSeconds(in: year) - standardOffset)
        let end = Double(daylight.end.wallSeconds(in: year) - daylight.offset)
        let isDaylight = start < end ? (start..<end).contains(moment) : !(end..<start).contains(moment)
        return isDaylight ? daylight.offset : standardOffset
    }

    private static func skipName(_ rest: inout Substring) -> Bool {
        if rest.first == "<" {
            guard let end = rest.firstIndex(of: ">") else { return false }
            rest = rest[rest.index(after: end)...]
            return true
        }
        let name = rest.prefix { $0.isLetter }
        rest = rest.dropFirst(name.count)
        return name.count >= 3
    }

    private static func takeNumber(_ rest: inout Substring) -> Int? {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        return digits.count <= 4 ? Int(digits) : nil
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    private static func takeTime(_ rest: inout Substring) -> Int? {
        var sign = 1
        if rest.first == "-" || rest.first == "+" { sign = rest.removeFirst() == "-" ? -1 : 1 }
        guard let hours = takeNumber(&rest), hours <= 167 else { return nil }
        var seconds = hours * 3600
        for unit in [60, 1] where rest.first == ":" {
            rest.removeFirst()
            guard let part = takeNumber(&rest), part < 60 else { return nil }
            seconds += part * unit
        }
        return sign * seconds
    }

    /// `,date[/time]`; the time is 02:00 unless given.
    private static func takeMoment(_ rest: inout Substring) -> YearlyMoment? {
        guard rest.popFirst() == "," else { return nil }
        let day: YearlyMoment.Day
        switch rest.first {
        case "M":
            rest.removeFirst()
            var parts: [Int] = []
            for index in 0..<3 {
                if index > 0, rest.popFirst() != "." { return nil }
                guard let part = takeNumber(&rest) else { return nil }
                parts.append(part)
            }
            guard (1...12).contains(parts[0]), (1...5).contains(parts[1]), (0...6).contains(parts[2]) else {
                return nil
            }
            day = .weekday(month: parts[0], week: parts[1], weekday: parts[2])
        case "J":
            rest.removeFirst()
            guard let number = takeNumber(&rest), (1...365).contains(number) else { return nil }
            day = .julian(number)
        default:
            guard let number = takeNumber(&rest), (0...365).contains(number) else { return nil }
            day = .zeroBased(number)
        }
        guard rest.first == "/" else { return YearlyMoment(day: day, time: 7200) }
        rest.removeFirst()
        return takeTime(&rest).map { YearlyMoment(day: day, time: $0) }
    }
}
