/// What one collection found in the task table.
struct EvidenceReading: Equatable, Sendable {
    /// PostgreSQL's clock, Unix seconds.
    var time: Double
    /// The latest start of each scheduled task that was found, by task name.
    var runs: [String: Double] = [:]
    /// The table was searched from here on: what did not show has not run since.
    var searchedFrom: Double
}

/// Concludes from the runs that a task table shows whether a beat lives that leaves no other trace.
///
/// Beat is alive as long as something of its schedule runs when it is due. An entry that does not run while others do is
/// late itself, and says nothing of beat.
struct EvidenceTracker {
    private let entries: [ExpectedEntry]
    private let grace: Double
    private var runs: [String: Double] = [:]

    init(entries: [ExpectedEntry], grace: Double) {
        self.entries = entries
        self.grace = grace
    }

    /// Whether a search from `start` on leaves nothing open: every entry has shown a run or must have shown one.
    func isSettled(searchedFrom start: Double, at now: Double) -> Bool {
        entries.allSatisfy { entry in
            runs[entry.task] != nil || entry.due(after: start).map { $0 + entry.tolerance < now } ?? true
        }
    }

    mutating func observe(_ reading: EvidenceReading) -> BeatState {
        for (task, start) in reading.runs {
            // A worker's clock may be ahead.
            runs[task] = max(runs[task] ?? 0, min(start, reading.time))
        }
        let heartbeat = entries.compactMap { runs[$0.task] }.max()
        let states = entries.map { state(of: $0, reading) }
        let deadline = zip(entries, states)
            .compactMap { entry, state in state.nextDue.map { $0 + entry.tolerance } }
            .filter { $0 > heartbeat ?? -.infinity }
            .min()
        // With nothing seen and nothing due there is nothing to say.
        let isKnown = heartbeat != nil || deadline.map { $0 + grace < reading.time } ?? false
        return BeatState(
            time: reading.time,
            isUp: isKnown ? deadline.map { reading.time <= $0 + grace } ?? true : nil,
            heartbeat: heartbeat,
            deadline: deadline,
            grace: grace,
            schedule: ScheduleState(
                entries: states.sorted { $0.name < $1.name },
                entryCount: entries.count,
                disabledCount: 0,
                invalidCount: 0,
                nextDue: states.compactMap(\.nextDue).min(),
                lastTaskTime: heartbeat
            )
        )
    }

    private func state(of entry: ExpectedEntry, _ reading: EvidenceReading) -> BeatEntryState {
        let lastRun = runs[entry.task]
        let due = entry.due(after: lastRun ?? reading.searchedFrom)
        let late = due.map { reading.time - $0 } ?? 0
        return BeatEntryState(
            name: entry.name,
            task: entry.task,
            isEnabled: true,
            lastRun: lastRun,
            nextDue: due,
            overdue: late > entry.tolerance ? late : 0,
            runs: nil
        )
    }
}
