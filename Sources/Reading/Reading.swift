/// What one look at a source brought.
package struct Reading<State: Sendable>: Sendable {
    /// What was concluded; nil where nothing tells that what is looked for is in use.
    package var state: State?
    package var problems: [SourceProblem]
    /// What someone should fix, though nothing went wrong: logged once.
    package var advice: [String]
    /// What is good to know, with nothing to fix: logged once.
    package var notes: [String]
    /// Whether another look may soon tell more, because one cannot tell all.
    package var isPreliminary: Bool

    package init(
        _ state: State?,
        problems: [SourceProblem] = [],
        advice: [String] = [],
        notes: [String] = [],
        isPreliminary: Bool = false
    ) {
        self.state = state
        self.problems = problems
        self.advice = advice
        self.notes = notes
        self.isPreliminary = isPreliminary
    }

    /// The same with another state.
    package func map<Other: Sendable>(_ transform: (State) -> Other) -> Reading<Other> {
        Reading<Other>(
            state.map(transform),
            problems: problems,
            advice: advice,
            notes: notes,
            isPreliminary: isPreliminary
        )
    }
}

/// Reads one thing from a source, again and again. It is made and called on one thread, one call at a time, so that it may
/// keep what it learns, and may block.
package protocol Reader<State>: SendableMetatype {
    associatedtype State: Sendable

    /// - Parameter deadline: when whatever it asks the source must have been answered.
    mutating func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<State>
}
