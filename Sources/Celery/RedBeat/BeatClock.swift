/// How far beat's clock is from Redis's, judged from the runs that beat writes.
///
/// A run that was not there at the last reading was written since then by Redis's clock, and carries beat's. So each
/// bounds the difference from both sides, and several bound it ever closer.
struct BeatClock {
    /// Seconds that beat's clock is ahead: at least and at most. Nil until a run was seen.
    private var bounds: ClosedRange<Double>?
    /// One strange run is nobody's clock.
    private var isConfirmed = false

    /// Clocks that differ by no more count as equal: a run is dated a little before it is stored.
    private static let tolerance = 1.0
    /// Seconds that pass at most between reading Redis's clock and reading the entries.
    private static let readingTime = 1.0

    /// - Parameters:
    ///   - runs: when entries ran, by beat's clock, whose run is new since the last reading.
    ///   - last: when the last reading was, by Redis's clock.
    ///   - now: when this one is.
    mutating func observe(runs: [Double], since last: Double, until now: Double) {
        let length = now + Self.readingTime - last
        guard length > 0, let latest = runs.max(), let earliest = runs.min(), latest - earliest <= length else {
            return
        }
        // All of them were written between the readings.
        let seen = (latest - now - Self.readingTime)...(earliest - last)
        if let known = bounds, known.overlaps(seen) {
            bounds = known.clamped(to: seen)
            isConfirmed = true
        } else {
            // The first, or another beat, or a clock that was set.
            bounds = seen
            isConfirmed = false
        }
    }

    /// Seconds that beat's clock is ahead at least, negative when it is behind; 0 when the clocks agree as far as can be
    /// told, nil until a run was seen.
    var skew: Double? {
        guard let bounds else { return nil }
        if bounds.lowerBound > Self.tolerance, isConfirmed { return bounds.lowerBound }
        if bounds.upperBound < -Self.tolerance, isConfirmed { return bounds.upperBound }
        return 0
    }

    /// What to take from beat's times to have them on Redis's clock: rather too little, so that nothing is due too early.
    var correction: Double {
        guard let bounds, let skew, skew != 0 else { return 0 }
        return bounds.lowerBound
    }
}
