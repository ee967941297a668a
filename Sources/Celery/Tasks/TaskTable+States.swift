internal import Postgres

// Which states of a task table's rows are final, and which are in progress.

extension TaskTable {
    /// Celery's states in which a task has ended. Any other is in progress, an application's own as well, which tasks give
    /// themselves with `update_state`. Source: celery/states.py, `READY_STATES`, with the two that it never stores.
    static let finalStates = ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"]
    /// What others are told as.
    static let otherState = "OTHER"
    /// Celery's states in which it has not, and PROGRESS by convention.
    private static let unfinishedStates = ["PENDING", "RECEIVED", "STARTED", "PROGRESS", "RETRY"]
    /// Different states that are looked at, and the characters that one may have.
    private static let maximumWords = 100
    static let maximumWordLength = 200

    /// Which rows are in progress: what to write into a WHERE, and its parameters.
    struct Unfinished {
        let condition: String
        let parameters: [String]
    }

    /// The state in Celery's words.
    var state: String {
        columns[.status].map { state(of: "t.\($0.quoted)", $0) } ?? "NULL::text"
    }

    private func state(of value: String, _ column: Relation.Column) -> String {
        let text = column.text(value)
        guard !definition.states.isEmpty else { return text }
        let cases = definition.states.sorted { $0.key < $1.key }.map {
            "WHEN \(Self.literal($0.key)) THEN \(Self.literal($0.value))"
        }
        return "(CASE \(text) \(cases.joined(separator: " ")) ELSE \(text) END)"
    }

    /// A condition that a task, which has a completion time, has ended.
    var hasEnded: String {
        definition.completionIsEnd
            ? "\(state) NOT IN (\(Self.literals(Self.unfinishedStates)))"
            : "\(state) IN (\(Self.literals(Self.finalStates)))"
    }

    /// The condition that a task has not ended.
    ///
    /// - Parameter first: the number of its first parameter.
    /// - Returns: nil where none is in progress, or where the whole of a large table would have to be read for that.
    func unfinished(
        _ transaction: borrowing PostgresTransaction,
        firstParameter first: Int
    ) throws(PostgresError) -> Unfinished? {
        guard readsUnfinished, let column = columns[.status], let completed = columns[.completed] else { return nil }
        var words: [String] = []
        var condition = "\(state) NOT IN (\(Self.literals(Self.finalStates)))"
        if column.isIndexed {
            // PostgreSQL takes the index when it knows the states while it plans.
            words = try transaction.query(unfinishedWordsQuery(column)).compactMap { $0.text(0) }
            guard !words.isEmpty else { return nil }
            let numbers = words.indices.map { column.parameter(first + $0) }.joined(separator: ", ")
            condition = "t.\(column.quoted) IN (\(numbers))"
        }
        if definition.completionIsEnd {
            // One that Celery knows may have ended before and run again.
            let isKnown = "\(state) IN (\(Self.literals(Self.unfinishedStates)))"
            condition = "(\(condition) AND (\(isKnown) OR t.\(completed.quoted) IS NULL))"
        }
        return Unfinished(condition: condition, parameters: words)
    }

    /// The states in progress that the table has, each found by one step through the index.
    private func unfinishedWordsQuery(_ column: Relation.Column) -> String {
        let next = "SELECT s.\(column.quoted) FROM \(name) AS s WHERE s.\(column.quoted)"
        let step = "ORDER BY s.\(column.quoted) LIMIT 1"
        return """
            WITH RECURSIVE words (word, number) AS (
                (SELECT (\(next) IS NOT NULL \(step)), 1)
                UNION ALL
                SELECT (\(next) > words.word \(step)), number + 1 FROM words
                WHERE words.word IS NOT NULL AND number < \(Self.maximumWords)
            )
            SELECT \(column.text("word")) FROM words
            WHERE length(\(column.text("word"))) <= \(Self.maximumWordLength)
                AND \(state(of: "word", column)) NOT IN (\(Self.literals(Self.finalStates)))
            """
    }
}
