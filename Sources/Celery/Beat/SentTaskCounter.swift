/// Counts the tasks beat sends, from the run counts of its entries. Never goes down: not when an entry is deleted, and
/// not when it is re-created and counts from nothing.
///
/// It starts at 0 with the first reading, whatever the entries had counted by then: a counter born above 0 would hide
/// its first increase from `increase()`, and one that falls when an entry is gone would add a false one.
struct SentTaskCounter {
    /// By task name; names beyond the bound are counted as `other`.
    private(set) var totals: [String: Int] = [:]
    private var runs: [[UInt8]: Int] = [:]
    private var lastObservation: Double?

    private static let maximumNames = 1000

    /// - Parameters:
    ///   - entries: each with a key that is its alone; names need not be.
    ///   - time: Unix seconds.
    /// - Returns: the keys of entries that were known before and have run since.
    @discardableResult
    mutating func observe(
        _ entries: some Sequence<(key: [UInt8], task: String, runs: Int)>,
        at time: Double
    ) -> Set<[UInt8]> {
        var haveRun: Set<[UInt8]> = []
        // An entry that appears, or counts from less than before, was re-created and has run since the last look: no more
        // than once a second. One with more runs was restored from a backup or became readable; those are not news.
        let mostNewRuns = lastObservation.map { max(0, time - $0) + 1 } ?? -1
        lastObservation = time
        var present: [[UInt8]: Int] = [:]
        for entry in entries {
            present[entry.key] = entry.runs
            let sent: Int
            if let before = runs[entry.key], entry.runs >= before {
                sent = entry.runs &- before
                if sent > 0 { haveRun.insert(entry.key) }
            } else {
                sent = Double(entry.runs) <= mostNewRuns ? entry.runs : 0
            }
            let name = totals[entry.task] != nil || totals.count < Self.maximumNames ? entry.task : "other"
            totals[name, default: 0].count(sent)
        }
        runs = present
        return haveRun
    }
}
