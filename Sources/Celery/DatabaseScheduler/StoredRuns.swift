/// Concludes from the rows of entries, and from when beat stores runs there, which entries are late.
///
/// Beat counts runs in its memory. It stores all of them when it sends a task and has not done so for 180 s, also with the
/// first task after its start, before it sends the next (celery/beat.py, `should_sync`); whenever the schedule is changed;
/// and every 300 s from django-celery-beat 2.8 on. A beat that is killed stores nothing. So a row that is behind says
/// nothing by itself. What beat stores meanwhile does.
struct StoredRuns {
    private let grace: Double
    private var memories: [[UInt8]: Memory] = [:]
    /// When beat was last seen to have stored runs, or when looking for that began.
    private var lastStored: Double?
    /// When the beat that is alive now was first seen, or the last that was.
    private var aliveStart: Double?
    private var isAlive = false
    /// When any beat was first seen.
    private var firstAliveStart: Double?
    /// When a beat was first seen that others' end or absence came before.
    private var restart: Double?
    private var wasDown = false
    private var lastReading: Double?

    /// What is remembered of an entry for as long as its row stays as it is.
    private struct Memory {
        var entry: DatabaseEntry
        /// When beat was first seen to store other runs while this entry was due.
        var passedOver: Double?
        /// When it was seen to do so again, with the first send long over.
        var passedOverAgain: Double?
        /// Whether beat has had to store a run and has not: it does not send it.
        var isMissed = false
        /// Until when a beat that is dead by now is taken to have sent it without storing that.
        var sentUntil: Double?
    }

    /// What is known of beat itself at a reading.
    struct Life {
        var isUp: Bool?
        var heartbeat: Double?
        var maxLoopInterval: Double
    }

    /// Source: celery/beat.py, `sync_every`, with a second for rounding.
    private static let storeInterval = 181.0

    init(grace: Double) {
        self.grace = grace
    }

    /// The source could not be read, and perhaps beat could not write either.
    mutating func loseSight() {
        lastStored = nil
        lastReading = nil
    }

    /// - Parameters:
    ///   - entries: all of them, their last runs on the clock of `now`.
    ///   - haveRun: the keys of those whose runs have become more since the last reading.
    /// - Returns: the states of the entries, in the same order.
    mutating func observe(
        _ entries: [DatabaseEntry],
        haveRun: Set<[UInt8]>,
        at now: Double,
        _ life: Life
    ) -> [BeatEntryState] {
        noteLife(life, at: now)
        if lastStored == nil || !haveRun.isEmpty { lastStored = now }
        let burst = longestBurst(of: entries.count(where: \.isEnabled), life)
        var present: [[UInt8]: Memory] = [:]
        let states = entries.map { entry in
            var memory = Memory(entry: entry)
            if let known = memories[entry.key], known.entry == entry { memory = known }
            note(&memory, hasStoredOthers: !haveRun.isEmpty, burst: burst, at: now, life)
            present[entry.key] = memory
            return state(of: memory, at: now, life)
        }
        memories = present
        lastReading = now
        return states
    }

    private mutating func noteLife(_ life: Life, at now: Double) {
        switch life.isUp {
        case true:
            if !isAlive {
                aliveStart = now
                firstAliveStart = firstAliveStart ?? now
                if wasDown { restart = now }
            }
            (isAlive, wasDown) = (true, false)
        case false: (isAlive, wasDown) = (false, true)
        case nil: isAlive = false
        }
    }

    /// How long beat may take to send so many entries that are due together. It compares the whole schedule and asks the
    /// database before each (celery/beat.py, `tick`).
    private func longestBurst(of count: Int, _ life: Life) -> Double {
        let count = Double(count)
        return life.maxLoopInterval + grace + count * 0.02 + count * count * 1e-5
    }

    private func note(_ memory: inout Memory, hasStoredOthers: Bool, burst: Double, at now: Double, _ life: Life) {
        guard memory.entry.isEnabled, !memory.isMissed, let due = due(memory, at: now), due <= now else { return }
        if life.isUp == false {
            // What was due while that beat was alive, it has most likely sent.
            if let heartbeat = life.heartbeat, let aliveStart, aliveStart <= due, due <= heartbeat {
                memory.sentUntil = heartbeat
            }
            return
        }
        // One run that is stored without this one may be the first of a beat that has just been started. The next is not.
        if hasStoredOthers, let lastReading, due + burst <= lastReading {
            if let first = memory.passedOver {
                if lastReading >= first + burst { memory.passedOverAgain = memory.passedOverAgain ?? now }
            } else {
                memory.passedOver = now
            }
        }
        // It stores one row after the other, and this one may be the last.
        if let again = memory.passedOverAgain, now >= again + burst { memory.isMissed = true }
        // After so long a pause, beat stores a run as soon as it has sent it.
        if isAlive, let lastStored, let aliveStart {
            let pause = max(lastStored, aliveStart) + Self.storeInterval
            let own = due >= pause ? due : memory.entry.scheduledTime(after: pause)
            if let own, own + burst < now { memory.isMissed = true }
        }
    }

    /// When the entry is due by all that is known to have been sent; nil when never again.
    private func due(_ memory: Memory, at now: Double) -> Double? {
        let entry = memory.entry
        let due = entry.due(at: now, firstBeatStart: firstAliveStart, beatStart: aliveStart)
        guard let due, let sent = memory.sentUntil, due <= sent else { return due }
        return entry.nextDue(from: due, after: sent)
    }

    /// Whether a beat that was dead before anyone looked may have sent what was due without having stored that.
    private func mayHaveBeenSent(_ due: Double, at now: Double, _ life: Life) -> Bool {
        life.heartbeat == nil && now - due <= Self.storeInterval + life.maxLoopInterval + grace
    }

    private func state(of memory: Memory, at now: Double, _ life: Life) -> BeatEntryState {
        let entry = memory.entry
        var state = BeatEntryState(
            name: entry.name,
            task: entry.task,
            isEnabled: entry.isEnabled,
            lastRun: entry.runs > 0 ? entry.lastRun : nil,
            nextDue: nil,
            overdue: 0,
            runs: entry.runs
        )
        guard entry.isEnabled, let due = due(memory, at: now) else { return state }
        if due > now {
            state.nextDue = due
        } else if memory.isMissed || life.isUp == false && !mayHaveBeenSent(due, at: now, life) {
            (state.nextDue, state.overdue) = (due, now - due)
        } else if life.isUp == true, due >= restart ?? -.infinity,
            now - due <= Self.storeInterval + life.maxLoopInterval + grace
        {
            // A beat that is alive has most likely sent it and not yet stored that.
            state.nextDue = entry.nextDue(from: due, after: now) ?? due
        } else {
            state.overdue = nil
        }
        return state
    }
}

extension DatabaseEntry {
    /// What tells it from all others.
    var key: [UInt8] { Array(name.utf8) }
}
