/// Which of the tables that were found are counted: of those that record the same tasks only one.
struct TaskTableSelection {
    /// Tables that count, the preferred first.
    private(set) var chosen: [TaskTable] = []
    /// Tables of which it is not known yet whether another has the same tasks. They are read, and count once it is known.
    private(set) var undecided: [TaskTable] = []
    /// Tables that are left out, each with the one that has its tasks.
    private(set) var leftOut: [(table: TaskTable, for: TaskTable)] = []
    /// Whether two tables record the same tasks, by their object ids.
    private var known: [Pair: Bool] = [:]

    private struct Pair: Hashable {
        let table: Int64
        let other: Int64
    }

    /// Takes tables for chosen that are not decided yet.
    mutating func promote(_ titles: Set<String>) {
        chosen = undecided.filter { titles.contains($0.title) } + chosen
        undecided.removeAll { titles.contains($0.title) }
    }

    /// Which tables are left out, and why.
    var notes: [String] {
        leftOut.map { "\($0.table.title) records the same tasks as \($0.for.title), which is read; it is not" }
    }

    /// - Parameters:
    ///   - tables: what was found, the preferred first. One that counted so far goes before: a count that moved from
    ///     table to table would lose or repeat some.
    ///   - areSame: whether two tables record the same tasks; nil while that cannot be told.
    mutating func update(_ tables: [TaskTable], areSame: (TaskTable, TaskTable) -> Bool?) {
        let before = Set(chosen.map(\.title))
        chosen = []
        undecided = []
        leftOut = []
        for table in tables.filter({ before.contains($0.title) }) + tables.filter({ !before.contains($0.title) }) {
            var isDecided = true
            var sharer: TaskTable?
            for other in chosen where sharer == nil {
                let pair = Pair(table: table.identifier, other: other.identifier)
                // That they share no task may change; that they do does not.
                if known[pair] != true { known[pair] = areSame(table, other) ?? known[pair] }
                switch known[pair] {
                case true?: sharer = other
                case false?: break
                case nil: isDecided = false
                }
            }
            if let sharer {
                leftOut.append((table, sharer))
            } else if isDecided || before.contains(table.title) {
                chosen.append(table)
            } else {
                undecided.append(table)
            }
        }
    }
}
