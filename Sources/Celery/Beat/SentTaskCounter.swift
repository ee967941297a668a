/// Counts the tasks beat sends, from the run counts of its entries. Never goes down: not when an entry is deleted, and
/// not when it is re-created and counts from nothing.
///
/// It starts at 0 with the first reading, whatever the entries had counted by then: a counter born above 0 would hide
/// its first increase from `increase()`, and one that falls when an entry is gone would add a false one.
struct SentTaskCounter {
    private(set) var totals: [String: Int] = [:]
    private var runs: [[UInt8]: Int] = [:]
    private var hasBaseline = false

    /// Entries remembered after their deletion, so that one that comes back is not counted twice.
    private static let maximumRemembered = 100_000

    /// - Parameter entries: each with a key that is its alone; names need not be.
    mutating func observe(_ entries: some Sequence<(key: [UInt8], task: String, runs: Int)>) {
        if runs.count > Self.maximumRemembered { runs.removeAll() }
        for entry in entries {
            let before = runs[entry.key] ?? (hasBaseline ? 0 : entry.runs)
            runs[entry.key] = entry.runs
            let sent = entry.runs >= before ? entry.runs - before : entry.runs
            // Run counts are foreign data: a sum that overflows must not end the program.
            let (total, overflow) = totals[entry.task, default: 0].addingReportingOverflow(sent)
            totals[entry.task] = overflow ? .max : total
        }
        hasBaseline = true
    }
}
