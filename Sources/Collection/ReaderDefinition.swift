package import Reading

/// Changes the states as one reading says.
package typealias StateChange = @Sendable (inout ObservedStates) -> Void

/// A reader to run: its name, what it reads from, how it is made, and where its state stands among the others.
package struct ReaderDefinition: Sendable {
    package let name: String
    /// The source whose health it tells; nil for one that reads nothing but this process.
    package let source: String?
    /// Takes away what the reader brought.
    let clear: StateChange
    /// Makes the reader, for the thread that asks.
    package let make: @Sendable (_ context: ReaderContext) -> RunningReader

    /// - Parameter part: where its state stands.
    package init<Source: Reader>(
        _ name: String,
        source: String?,
        _ part: any WritableKeyPath<ObservedStates, Source.State?> & Sendable,
        make: @escaping @Sendable (_ context: ReaderContext) -> Source
    ) {
        self.name = name
        self.source = source
        clear = { $0[keyPath: part] = nil }
        self.make = { context in
            var reader = make(context)
            return RunningReader { (deadline) throws(SourceError) in
                let reading = try reader.read(until: deadline)
                return reading.map { state in { $0[keyPath: part] = state } }
            }
        }
    }
}

/// A reader whatever its state is, which belongs to one thread.
package struct RunningReader {
    package let read: (_ deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<StateChange>
}
