/// The moment by which a conversation must have ended.
package typealias Deadline = ContinuousClock.Instant

extension Deadline {
    /// An earlier deadline for the first of several turns, so that one that hangs leaves the others their time.
    package func share(amongst turns: Int, from now: ContinuousClock.Instant = .now) -> Deadline {
        now + now.duration(to: self) / max(1, turns)
    }
}
