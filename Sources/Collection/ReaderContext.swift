/// What the readers of one thread have in common. It belongs to that thread.
package final class ReaderContext {
    private let snapshot: CurrentSnapshot
    private var kept: [AnyObject] = []

    package init(_ snapshot: CurrentSnapshot) {
        self.snapshot = snapshot
    }

    /// What all readers of the application have concluded by now, those of other threads too.
    package var others: @Sendable () -> Snapshot { { [snapshot] in snapshot.value } }

    /// Something that one reader has made and others use too, such as a connection.
    ///
    /// - Parameters:
    ///   - isWanted: whether what another has made serves.
    ///   - make: makes it where nothing does.
    package func shared<Shared: AnyObject>(where isWanted: (Shared) -> Bool, make: () -> Shared) -> Shared {
        if let shared = kept.lazy.compactMap({ $0 as? Shared }).first(where: isWanted) { return shared }
        let new = make()
        kept.append(new)
        return new
    }
}
