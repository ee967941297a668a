/// The rules of a time zone: how far its wall clock is from UTC, and when.
package struct TimeZone: Equatable, Sendable {
    /// Moments (Unix seconds) from which an offset (seconds east of UTC) holds, ascending.
    private let transitions: [Transition]
    /// The offset before the first transition.
    private let initialOffset: Int
    /// The rule for all time after the last transition, as the footer of a TZif file gives it.
    private let futureRule: PosixTimeZoneRule?

    struct Transition: Equatable, Sendable {
        let moment: Int64
        let offset: Int
    }

    package static let utc = TimeZone(fixedOffset: 0)

    /// A zone that is always the same number of seconds east of UTC.
    package init(fixedOffset: Int) {
        self.init(transitions: [], initialOffset: fixedOffset, futureRule: nil)
    }

    init(transitions: [Transition], initialOffset: Int, futureRule: PosixTimeZoneRule?) {
        self.transitions = transitions
        self.initialOffset = initialOffset
        self.futureRule = futureRule
    }

    /// Seconds east of UTC at a moment (Unix seconds).
    package func offset(at moment: Double) -> Int {
        guard let last = transitions.last else { return futureRule?.offset(at: moment) ?? initialOffset }
        if moment >= Double(last.moment) { return futureRule?.offset(at: moment) ?? last.offset }
        // The first transition later than the moment; the one before it holds.
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if Double(transitions[middle].moment) <= moment { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? initialOffset : transitions[low - 1].offset
    }

    package func civilTime(at moment: Double) -> CivilTime {
        CivilTime(secondsSinceEpoch: moment + Double(offset(at: moment)))
    }

    /// The moment at which the wall clock shows `time`. As Python's zoneinfo with `fold=0`, which Celery uses: of two
    /// moments the earlier, and in a gap the time counts as if the clock had not yet been moved.
    package func moment(of time: CivilTime) -> Double {
        let wall = time.secondsSinceEpoch
        let before = offset(at: wall - 86_400)
        let after = offset(at: wall + 86_400)
        let early = wall - Double(before)
        if before == after || offset(at: early) == before { return early }
        let late = wall - Double(after)
        return offset(at: late) == after ? late : early
    }

    /// The same where the clock may have been put back: of two moments the later, unless that is after `latest`.
    package func moment(of time: CivilTime, notAfter latest: Double) -> Double {
        second(of: time).flatMap { $0 <= latest ? $0 : nil } ?? moment(of: time)
    }

    /// The same: of two moments the earlier, unless that is before `earliest`.
    package func moment(of time: CivilTime, notBefore earliest: Double) -> Double {
        let first = moment(of: time)
        return first < earliest ? second(of: time) ?? first : first
    }

    /// The moment at which the wall clock shows a time again, after it was put back; nil for one that it shows only once.
    private func second(of time: CivilTime) -> Double? {
        let wall = time.secondsSinceEpoch
        let before = offset(at: wall - 86_400)
        let after = offset(at: wall + 86_400)
        let late = wall - Double(after)
        return after < before && offset(at: late) == after && offset(at: wall - Double(before)) == before ? late : nil
    }
}
