/// Which queues use priorities: those of which a step other than the first lately held a message.
struct PriorityUse {
    private var lastUses: [String: ContinuousClock.Instant] = [:]

    /// A queue for which that is longer ago has stopped using them.
    static let memory = Duration.seconds(600)

    /// Whether the queue uses priorities.
    mutating func observe(_ depths: [PriorityDepth], of queue: String, at now: ContinuousClock.Instant) -> Bool {
        if depths.dropFirst().contains(where: { $0.length > 0 }) { lastUses[queue] = now }
        guard let last = lastUses[queue] else { return false }
        if now - last <= Self.memory { return true }
        lastUses[queue] = nil
        return false
    }

    mutating func forget(allBut queues: [String]) {
        let kept = Set(queues)
        lastUses = lastUses.filter { kept.contains($0.key) }
    }
}
