package import Exposition
package import Reading

/// One group of metrics. It is made and called on a thread of its own, one call at a time, so that it may keep state
/// and may block; a slow collector never delays another.
///
/// A collection that throws is shown as failed and its families vanish: nothing old is ever served as if it were new.
/// What spoils only single values is no failure but a problem beside the families.
package protocol Collector {
    /// - Parameter deadline: when whatever it asks its source must have been answered.
    mutating func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected
}

/// What one collection brought.
package struct Collected: Equatable, Sendable {
    package var families: [MetricFamily]
    package var problems: [SourceProblem]
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

    package init(_ families: [MetricFamily], problems: [SourceProblem] = [], advice: [String] = []) {
        self.families = families
        self.problems = problems
        self.advice = advice
    }

    /// What a reading tells, beside the families that show its state.
    package init<State>(_ reading: Reading<State>, families: [MetricFamily]) {
        self.init(families, problems: reading.problems, advice: reading.advice)
        notes = reading.notes
        isPreliminary = reading.isPreliminary
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
