// Which states of a task table's rows are final, and which are in progress.

extension TaskTable {
    /// Celery's states in which a task has ended. Any other is in progress, an application's own as well, which tasks give
    /// themselves with `update_state`. Source: celery/states.py, `READY_STATES`, with the two that it never stores.
    static let finalStates = ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"]
    /// Celery's states in which it has not, and PROGRESS by convention.
    private static let unfinishedStates = ["PENDING", "RECEIVED", "STARTED", "PROGRESS", "RETRY"]
    /// States in progress that one question tells apart.
    private static let maximumWords = 100

    /// The state in Celery's words.
    var state: String {
        columns[.status].map { state(of: "t.\($0.quoted)") } ?? "NULL"
    }

    private func state(of value: String) -> String {
        guard !definition.states.isEmpty else { return "\(value)::text" }
        let cases = definition.states.sorted { $0.key < $1.key }.map {
            "WHEN \(Self.literal($0.key)) THEN \(Self.literal($0.value))"
        }
        return "(CASE \(value)::text \(cases.joined(separator: " ")) ELSE \(value)::text END)"
    }

    /// A condition that a task, which has a completion time, has ended.
    var hasEnded: String {
        definition.completionIsEnd
            ? "\(state) NOT IN (\(Self.literals(Self.unfinishedStates)))"
            : "\(state) IN (\(Self.literals(Self.finalStates)))"
    }

    /// A condition that a task has not ended, which an index on the state can serve.
    var isInProgress: String {
        guard let column = columns[.status], let completed = columns[.completed] else { return "false" }
        let isUnfinished =
            column.isIndexed
            ? "t.\(column.quoted) = ANY (ARRAY(\(words(column))))"
            : "\(state) NOT IN (\(Self.literals(Self.finalStates)))"
        guard definition.completionIsEnd else { return isUnfinished }
        // It may have ended before and run again.
        let isKnown = "\(state) IN (\(Self.literals(Self.unfinishedStates)))"
        return "(\(isUnfinished) AND (\(isKnown) OR t.\(completed.quoted) IS NULL))"
    }

    /// The states in progress that the table has, found by one step through the index for each.
    private func words(_ column: Column) -> String {
        let next = "SELECT s.\(column.quoted) FROM \(name) AS s WHERE s.\(column.quoted)"
        let step = "ORDER BY s.\(column.quoted) LIMIT 1"
        return """
            WITH RECURSIVE words (word) AS (
                (\(next) IS NOT NULL \(step))
                UNION ALL SELECT (\(next) > words.word \(step)) FROM words WHERE words.word IS NOT NULL
            )
            SELECT word FROM words WHERE \(state(of: "word")) NOT IN (\(Self.literals(Self.finalStates)))
            LIMIT \(Self.maximumWords)
            """
    }
}
