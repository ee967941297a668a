/// The closed set of things that go wrong between a source and a metric, as
/// `celery_beat_exporter_collector_errors_total` counts them.
package enum ErrorReason: String, CaseIterable, Sendable {
    case authentication
    case connect
    case connectionLost = "connection_lost"
    /// A value that cannot be decoded.
    case malformed
    /// A server named an address that is not in the list of those to connect to.
    case notAllowed = "not_allowed"
    /// More than is read: bytes, entries, queues, names.
    case overLimit = "over_limit"
    /// It, or something beside the rest, may not be done.
    case permission
    /// The server refused for another reason.
    case server
    case timeout
    /// A time zone that the system lacks.
    case timeZone = "time_zone"
    /// A key or column of another type than it must have.
    case wrongType = "wrong_type"
}
