/// Counts the tasks beat sends, from the run counts of its entries. Never goes down: not when an entry is deleted, and
/// not when it is re-created and counts from nothing.
///
/// It starts at 0 with the first reading, whatever the entries had counted by then: a counter born above 0 would hide
/// its first increase from `increase()`, and one that falls when an entry is gone would add a false one.
struct SentTaskCounter {
    private(set) var totals: [String: Int] = [:]
    private var runs: [String: Int] = [:]
    private var hasBaseline = false

    /// Entries remembered after their deletion, so that one that comes back is not counted twice.
    private static let maximumRemembered = 100_000

    mutating func observe(_ entries: some Sequence<RedBeatEntry>) {
        if runs.count > Self.maximumRemembered { runs.removeAll() }
        for entry in entries {
            let count = entry.totalRunCount ?? 0
            let before = runs[entry.name] ?? (hasBaseline ? 0 : count)
            runs[entry.name] = count
            totals[entry.task, default: 0] += count >= before ? count - before : count
        }
        hasBaseline = true
    }
}
