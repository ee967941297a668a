package import Exposition

/// One group of metrics. It is made and called on a thread of its own, one call at a time, so that it may keep state
/// and may block; a slow collector never delays another.
///
/// A collection that throws is shown as failed and its families vanish: nothing old is ever served as if it were new.
/// What spoils only single values is no failure but a problem beside the families.
package protocol Collector {
    mutating func collect() throws(CollectionError) -> Collected
}

/// What one collection brought.
package struct Collected: Equatable, Sendable {
    package var families: [MetricFamily]
    package var problems: [CollectionProblem]
    /// What someone should mend, but nothing went wrong: logged once.
    package var advice: [String]
    /// What is good to know, and nothing to mend: logged once.
    package var notes: [String] = []
    /// Whether another look may soon tell more, because one cannot tell all.
    package var isPreliminary = false
    /// Whether nothing was found of what the collector looks for.
    package var isEmptyHanded = false
    /// Series left out for their number.
    package var droppedSeries = 0

    package init(_ families: [MetricFamily], problems: [CollectionProblem] = [], advice: [String] = []) {
        self.families = families
        self.problems = problems
        self.advice = advice
    }
}

/// The closed set of things that go wrong, as `celery_beat_exporter_collector_errors_total` counts them.
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
    case permission
    /// The server refused for another reason.
    case server
    case timeout
    /// A time zone that the system lacks.
    case timeZone = "time_zone"
    /// A key or column of another type than it must have.
    case wrongType = "wrong_type"
}

/// Something that spoils a value.
package struct CollectionProblem: Equatable, Sendable {
    package let reason: ErrorReason
    /// One line for the log, of bounded length. It may quote foreign data, never a secret.
    package let description: String

    package init(_ reason: ErrorReason, _ description: String) {
        self.reason = reason
        self.description = description.cut()
    }
}

/// Why a collection failed.
package struct CollectionError: Error, Equatable {
    package let reason: ErrorReason
    /// One line for the log, of bounded length.
    package let description: String

    package init(_ reason: ErrorReason, _ description: String) {
        self.reason = reason
        self.description = description.cut()
    }
}

/// A collector to run: its name, what it reads from, and how it is made.
package struct CollectorDefinition: Sendable {
    package let name: String
    /// The source whose health it tells; nil for one that reads nothing but this process.
    package let source: String?
    package let make: @Sendable () -> any Collector

    package init(name: String, source: String?, make: @escaping @Sendable () -> any Collector) {
        self.name = name
        self.source = source
        self.make = make
    }
}
