/// What a column of a task table tells.
package enum TaskColumn: String, CaseIterable, Sendable {
    case id
    case task
    case status
    /// When the task ended.
    case completed
    /// When its latest run began.
    case started
    case retries
    /// `ClassName: message` of what it failed with.
    case error
    case traceback
    /// JSON that names the class of the exception as `exc_type`.
    case result
    /// The id of the task with which all began.
    case root
    /// How many tasks a chain has.
    case chainTotal = "chain_total"
}

/// A table in which someone is known to record tasks, before it was looked for: which of its columns tells what.
package struct TaskTableDefinition: Equatable, Sendable {
    /// As in SQL: with its schema where the search path does not have it.
    package var table: String
    /// Whether someone has said that it is there.
    package var isExpected = false
    package var columns: [TaskColumn: String]
    /// What it calls Celery's states, where it has other words.
    package var states: [String: String] = [:]
    /// Whether a completion time tells that a task has ended, whatever its state is called. Celery writes it at each change
    /// of state; who has words of their own is taken to write it at the end.
    package var completionIsEnd: Bool { isCompletionEnd || !states.isEmpty }
    private var isCompletionEnd = false
    /// The zone of times without one; the server's own where nil.
    package var zone: String?
    /// Other tables with more about the same tasks, by the same id.
    package var details: [Detail]

    package struct Detail: Equatable, Sendable {
        package var table: String
        package var columns: [TaskColumn: String]
    }

    package init(table: String, columns: [TaskColumn: String], details: [Detail] = [], isCompletionEnd: Bool = false) {
        self.isCompletionEnd = isCompletionEnd
        self.table = table
        self.columns = columns
        self.details = details
    }

    /// Without these nothing can be said.
    static let required: [TaskColumn] = [.status, .completed]

    /// The tables that are looked for, the one that tells most first: where two record the same tasks the first is taken.
    package static let known = [
        // The recorder's, and of others before it.
        TaskTableDefinition(
            table: "task_info",
            columns: [
                .id: "task_id", .task: "task_name", .status: "status", .completed: "completed_time",
                .started: "task_time", .retries: "retry_count", .error: "error_message", .traceback: "traceback",
                .root: "root_task_id", .chainTotal: "chain_total",
            ],
            isCompletionEnd: true
        ),
        TaskTableDefinition(
            table: "task_logs",
            columns: [
                .id: "task_id", .task: "task_name", .status: "status", .completed: "completed_at",
                .started: "started_at", .retries: "retries",
            ],
            details: [
                Detail(table: "task_results", columns: [.id: "task_id", .error: "error_message"]),
                Detail(
                    table: "task_metadata",
                    columns: [.id: "task_id", .root: "root_task_id", .chainTotal: "chain_total"]
                ),
            ],
            isCompletionEnd: true
        ),
        // Source: django_celery_results/models.py, `TaskResult`.
        TaskTableDefinition(
            table: "django_celery_results_taskresult",
            columns: [
                .id: "task_id", .task: "task_name", .status: "status", .completed: "date_done",
                .started: "date_started", .result: "result", .traceback: "traceback",
            ]
        ),
        // Source: celery/backends/database/models.py, `TaskExtended`.
        TaskTableDefinition(
            table: "celery_taskmeta",
            columns: [
                .id: "task_id", .task: "name", .status: "status", .completed: "date_done", .retries: "retries",
                .traceback: "traceback",
            ]
        ),
    ]
}
