/// When an entry is due.
package enum Schedule: Equatable, Sendable {
    /// Every so many seconds; `relative` intervals are rounded to their own resolution by Celery.
    case interval(seconds: Double, relative: Bool)
    case crontab(Crontab)
    /// A type whose due time only the scheduler itself knows: rrule, or anything unknown.
    case opaque(type: String)
}
