/// How tasks fare, from a task table. Counts run since the exporter started and never go down.
package struct TaskState: Equatable, Sendable {
    /// The table's name.
    package var table: String
    /// Whether each collection must read the whole table, for want of an index on the completion time.
    package var isIndexMissing: Bool
    /// By task name.
    package var tasks: [TaskAggregate]
    /// Task names beyond the bound, folded into `other`.
    package var foldedNames: Int
}

/// What happened to the tasks of one name.
package struct TaskAggregate: Equatable, Sendable {
    package var name: String
    /// Tasks that ended, by final state. `SUCCESS`, `FAILURE` and `REVOKED` are always there.
    package var results: [String: Int]
    /// Successes among successes and failures, by window; absent where nothing ended in it.
    package var successRatios: [SuccessRatio]
    /// Ended tasks by run time, one count more than `TaskConfiguration.durationBounds`.
    package var durationCounts: [Int]
    /// Seconds.
    package var durationSum: Double
    package var retries: Int
    /// Tasks not yet ended, by state; a state once seen stays, with 0.
    package var inProgress: [String: Int]
}

package struct SuccessRatio: Equatable, Sendable {
    package let window: TaskWindow
    package let ratio: Double
}

/// The last so many seconds.
package struct TaskWindow: Hashable, Sendable {
    /// As people write it: `5m`, `1h`.
    package let name: String
    package let seconds: Int64
}

package struct TaskConfiguration: Equatable, Sendable {
    package var windows = [TaskWindow(name: "5m", seconds: 300), TaskWindow(name: "1h", seconds: 3600)]
    /// Upper bounds of the duration histogram, in seconds.
    package var durationBounds: [Double] = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]
    /// Task names beyond this number are folded into `other`.
    package var maximumNames = 500

    package init() {}
}
