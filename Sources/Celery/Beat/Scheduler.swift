/// The schedulers, by the label that their metrics carry.
package enum Scheduler: String, CaseIterable, Sendable {
    case redbeat
    /// django-celery-beat's DatabaseScheduler.
    case django
    /// Any, of which only the tasks of an expected schedule are seen.
    case evidence
    /// Any that answers pings.
    case ping
}
