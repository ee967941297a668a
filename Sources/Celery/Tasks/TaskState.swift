/// How tasks fare, from task tables. Counts run since the exporter started and never go down.
package struct TaskState: Equatable, Sendable {
    /// The tables that are read, by name, and whether each collection must read the whole, for want of an index.
    package var tables: [String: Bool]
    /// By task name.
    package var tasks: [TaskAggregate]
    /// Names of tasks and exceptions beyond their bounds, folded into `other`.
    package var foldedNames: Int
}

/// What happened to the tasks of one name.
package struct TaskAggregate: Equatable, Sendable {
    package var name: String
    /// Tasks that ended, by final state. `SUCCESS`, `FAILURE` and `REVOKED` are always there.
    package var results: [String: Int]
    /// Successes among successes and failures, by window; absent where nothing ended in it.
    package var successRatios: [SuccessRatio]
    /// Ended tasks by run time, one count more than `TaskConfiguration.durationBounds`; nil where no table knows starts.
    package var durationCounts: [Int]?
    /// Seconds.
    package var durationSum: Double
    /// Nil where no table counts them.
    package var retries: Int?
    /// Failures by the class of the exception.
    package var errors: [String: Int] = [:]
    /// Tasks not yet ended, by state; a state once seen stays, with 0.
    package var inProgress: [String: Int]
}

package struct SuccessRatio: Equatable, Sendable {
    package let window: TaskWindow
    package var successes: Int
    /// Successes and failures; never 0.
    package var ended: Int

    package var ratio: Double { Double(successes) / Double(ended) }
}

extension TaskState {
    /// Of several tables together. Of those that were not read just now only what was counted is told.
    init(_ sources: [TaskSource], read: Set<String>, foldedNames: Int) {
        var tasks: [String: TaskAggregate] = [:]
        var tables: [String: Bool] = [:]
        for source in sources {
            let isRead = read.contains(source.table.title)
            if isRead { tables[source.table.title] = !source.table.isIndexed }
            for task in source.aggregates {
                var task = task
                if !isRead {
                    task.inProgress = [:]
                    task.successRatios = []
                }
                if tasks[task.name]?.add(task) == nil { tasks[task.name] = task }
            }
        }
        self.tables = tables
        self.tasks = tasks.values.sorted { $0.name < $1.name }
        self.foldedNames = foldedNames
    }
}

extension TaskAggregate {
    /// Adds what another table tells of the tasks of that name.
    mutating func add(_ other: TaskAggregate) {
        results.merge(other.results, uniquingKeysWith: Int.sum)
        inProgress.merge(other.inProgress, uniquingKeysWith: Int.sum)
        errors.merge(other.errors, uniquingKeysWith: Int.sum)
        durationSum += other.durationSum
        if let counts = other.durationCounts {
            durationCounts = durationCounts.map { zip($0, counts).map(Int.sum) } ?? counts
        }
        if let count = other.retries { retries = Int.sum(retries ?? 0, count) }
        for ratio in other.successRatios {
            if let index = successRatios.firstIndex(where: { $0.window == ratio.window }) {
                successRatios[index].successes.count(ratio.successes)
                successRatios[index].ended.count(ratio.ended)
            } else {
                successRatios.append(ratio)
            }
        }
    }
}

/// The last so many seconds.
package struct TaskWindow: Hashable, Sendable {
    /// As people write it: `5m`, `1h`.
    package let name: String
    package let seconds: Int64

    package init(name: String, seconds: Int64) {
        self.name = name
        self.seconds = seconds
    }
}
