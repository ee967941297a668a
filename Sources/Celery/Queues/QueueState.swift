/// What waits in the broker at one moment.
package struct QueueState: Equatable, Sendable {
    /// By name.
    package var queues: [QueueDepth]
    /// Messages delivered to workers and not yet acknowledged, over all queues; nil when it cannot be read.
    package var unacked: Int?
    /// When the oldest of these was delivered, Unix seconds; nil when there is none.
    package var oldestUnacked: Double?
    /// Seconds after which such a message is delivered again; nil with a broker that waits for its worker's end.
    package var visibilityTimeout: Double?
}

package struct QueueDepth: Equatable, Sendable {
    package let name: String
    /// Messages by priority step, in the order of the configured steps.
    package let priorities: [PriorityDepth]
    /// Whether a step other than the first has lately held a message.
    package let usesPriorities: Bool

    package var length: Int {
        priorities.reduce(0) { $0 + $1.length }
    }
}

package struct PriorityDepth: Equatable, Sendable {
    package let priority: Int
    package let length: Int
}
