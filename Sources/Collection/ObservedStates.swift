package import Celery

/// What the readers of one application have concluded, as far as it is known: what a reader brought is here until it fails.
package struct ObservedStates: Equatable, Sendable {
    package var beats: [Scheduler: BeatState] = [:]
    package var queues: QueueState?
    package var tasks: TaskState?
    package var pipelines: PipelineState?
    package var workers: WorkerState?
    /// Only beside the application that flags tell of.
    package var process: ProcessState?

    package init() {}

    /// Queues that entries name, by scheduler.
    package var scheduledQueues: [Scheduler: Set<String>] { beats.mapValues { $0.schedule?.queues ?? [] } }
}
