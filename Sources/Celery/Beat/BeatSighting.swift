internal import Synchronization

/// Whether the beat of one scheduler was ever seen: its reader tells, on another thread, those of other schedulers.
package final class BeatSighting: Sendable {
    private let seen = Atomic(false)

    package init() {}

    package var hasBeenSeen: Bool { seen.load(ordering: .relaxed) }

    package func note() { seen.store(true, ordering: .relaxed) }
}
