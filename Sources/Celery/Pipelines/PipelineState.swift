/// How pipelines fare: tasks that one task set off, chains above all. Counts run since the exporter started.
package struct PipelineState: Equatable, Sendable {
    /// By the name of the task with which they begin.
    package var pipelines: [PipelineAggregate]
}

/// Pipelines that begin with the same task.
package struct PipelineAggregate: Equatable, Sendable {
    package var rootTask: String
    /// Those that ended: SUCCESS where all members succeeded, FAILURE where one failed.
    package var results: [String: Int] = ["SUCCESS": 0, "FAILURE": 0]
    package var inProgress = 0
    /// Successes among those that ended within each window; absent where none did.
    package var completionRatios: [SuccessRatio] = []
    /// Whole pipelines that succeeded, by their duration; one count more than there are bounds.
    package var durationCounts: [Int]
    /// Seconds.
    package var durationSum = 0.0
}

/// One pipeline as a table has it.
struct PipelineReading: Equatable, Sendable {
    /// The id of the task with which it began.
    var root: String
    /// Its name; nil while that is not recorded.
    var rootTask: String?
    var members: Int
    var succeeded: Int
    var failed: Int
    /// How many members a chain has; nil where that is not known.
    var total: Int?
    /// When the first member began, the last ended, and the first failed: Unix seconds.
    var start: Double?
    var end: Double?
    var failure: Double?
}
