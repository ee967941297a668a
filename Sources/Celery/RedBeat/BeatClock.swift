/// How far beat's clock is from Redis's, judged from what beat writes.
///
/// A run that was not there at the last reading was written since then by Redis's clock, and carries beat's. So each
/// bounds the difference from both sides, and several bound it ever closer. The lock's token tells when beat asked for
/// it, which cannot have been later than now.
struct BeatClock {
    /// Seconds that beat's clock is ahead: at least and at most. Nil until anything was seen.
    private var bounds: ClosedRange<Double>?
    /// One strange run is nobody's clock.
    private var isConfirmed = false

    /// Clocks that differ by no more count as equal: a run is dated a little before it is stored.
    private static let tolerance = 1.0

    /// - Parameters:
    ///   - runs: when entries ran, by beat's clock, whose run is new since the last reading.
    ///   - last: when the last reading was, by Redis's clock.
    ///   - end: when this one ended.
    mutating func observe(runs: [Double], since last: Double, until end: Double) {
        guard last < end, let latest = runs.max(), let earliest = runs.min() else { return }
        // All of them were written between the readings, if the same clock dated them.
        let (least, most) = (latest - end, earliest - last)
        guard least <= most else { return }
        let seen = least...most
        if let known = bounds, known.overlaps(seen) {
            bounds = known.clamped(to: seen)
            isConfirmed = true
        } else {
            // The first, or another beat, or a clock that was set.
            bounds = seen
            isConfirmed = false
        }
    }

    /// - Parameters:
    ///   - start: when beat asked for the lock, by its own clock.
    ///   - now: by Redis's.
    mutating func observe(start: Double, at now: Double) {
        let ahead = start - now
        // Runs know better, and a clock that is a day ahead is none.
        guard bounds == nil, ahead > Self.tolerance, ahead < 86_400 else { return }
        bounds = ahead...(.greatestFiniteMagnitude)
        isConfirmed = true
    }

    /// Seconds that beat's clock is ahead at least, negative when it is behind; 0 when the clocks agree as far as can be
    /// told, nil until anything was seen.
    var skew: Double? {
        guard let bounds else { return nil }
        if bounds.lowerBound > Self.tolerance, isConfirmed { return bounds.lowerBound }
        if bounds.upperBound < -Self.tolerance, isConfirmed { return bounds.upperBound }
        return 0
    }

    /// What to take from beat's times to have them on Redis's clock: rather too little, so that nothing is due too early.
    /// For the same reason one run is enough for a clock that is behind.
    var correction: Double {
        guard let bounds else { return 0 }
        let isAhead = bounds.lowerBound > Self.tolerance && isConfirmed
        return isAhead || bounds.upperBound < -Self.tolerance ? bounds.lowerBound : 0
    }
}
