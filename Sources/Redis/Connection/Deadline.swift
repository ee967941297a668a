/// The moment by which a conversation must have ended.
typealias Deadline = ContinuousClock.Instant

extension Deadline {
    /// An earlier deadline for the first of several attempts, so that one that hangs leaves time for the others.
    func share(amongAttempts attempts: Int) -> Deadline {
        let now = ContinuousClock.now
        return now + now.duration(to: self) / max(1, attempts)
    }
}
