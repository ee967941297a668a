/// By how much the times in `last_run_at` are off.
///
/// With `DJANGO_CELERY_BEAT_TZ_AWARE=False` beat stores UTC as if it were the time of Django's `TIME_ZONE`
/// (django_celery_beat/schedulers.py, `_default_now`). The run that makes beat store runs is one that it has just sent, so
/// the newest among those that appear together tells the difference.
struct LastRunClock: Equatable {
    /// Seconds that stored times are ahead.
    private(set) var offset = 0.0
    /// Whether any run has told.
    private(set) var isKnown = false

    /// Zones differ by whole quarters of an hour, and by no more than 14 hours.
    private static let step = 900.0
    private static let longestOffset = 14.0 * 3600
    /// Clocks, and the way to the database, differ by less.
    private static let tolerance = 10.0

    /// - Parameters:
    ///   - newest: the latest run of those that appeared between two readings.
    ///   - previous: when the readings were.
    mutating func observe(newest: Double, between previous: Double, and now: Double) {
        guard now - previous < Self.step / 3 else { return }
        let difference = ((newest - now) / Self.step).rounded() * Self.step
        guard difference.magnitude <= Self.longestOffset else { return }
        // What was stored because the schedule was changed may be older.
        guard difference == 0 || (previous - Self.tolerance...now + Self.tolerance).contains(newest - difference) else {
            return
        }
        (offset, isKnown) = (difference, true)
    }
}
