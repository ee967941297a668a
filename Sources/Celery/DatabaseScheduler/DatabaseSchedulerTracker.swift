/// What one collection found of django-celery-beat's DatabaseScheduler.
struct DatabaseSchedulerReading: Equatable, Sendable {
    /// PostgreSQL's clock, Unix seconds.
    var time: Double
    var sessions: [Session] = []
    /// Whether other sessions' queries may be read at all.
    var canSeeSessions: Bool
    /// Scans so far of the table that beat reads at every tick; nil when not told.
    var scans: Int64?
    var entries: [DatabaseEntry] = []
    var entryCount = 0

    struct Session: Equatable, Sendable {
        /// Its own among all that the server has had.
        var identifier: String
        /// When it began its last query.
        var queryStart: Double
        var query: Query
    }

    /// What the last query of a session was.
    enum Query: String, Sendable {
        /// What beat sends at every tick. Others send it too, when the schedule is changed.
        case tick
        /// Another on django-celery-beat's tables, as beat sends them.
        case schedule
        /// The begin or the end of a transaction, of whatever.
        case transaction
        case other
    }
}

/// Concludes from readings how a DatabaseScheduler is. Pure: it holds what must be remembered.
///
/// It has no lock. Its heartbeat is that every tick, at most five seconds apart, reads
/// `django_celery_beat_periodictasks`: sessions tell when exactly. Where they cannot be seen, are shared as behind a pooler,
/// or have gone on to what may hide a tick, the table's scan counter tells that it happened. `last_run_at` says nothing: a healthy beat writes it every
/// three minutes.
struct DatabaseSchedulerTracker {
    private let maxLoopInterval: Double
    private let grace: Double
    private var heartbeat: Double?
    private var firstHeartbeat: Double?
    private var scans: Int64?
    /// When each session that has ticked, and has done nothing since that beat would not do, last did something.
    private var beats: [String: Double] = [:]
    /// When a tick was last seen in a session.
    private var lastSeenTick: Double?
    /// Whether the last session that ticked was seen to do other things: behind a pooler it does.
    private var areSessionsShared = false
    /// Scans one after the other by no session that shows it, and when the last was seen.
    private var unseenScans = (count: 0, last: -Double.infinity)
    /// Since when there has been nothing to keep a tick from being seen.
    private var watchedSince: Double?
    /// Whether a sign of life was seen since then.
    private var wasSeen = false
    private var counter = SentTaskCounter()
    private var lastTaskTime: Double?

    /// Source: django_celery_beat/schedulers.py, `DEFAULT_MAX_INTERVAL`.
    private static let defaultMaxLoopInterval = 5.0
    /// An idle session may report its scans this much later. Source: PostgreSQL's pgstat.c, `PGSTAT_IDLE_INTERVAL`.
    private static let longestReportDelay = 10.0
    /// A beat whose ticks are not seen for so many waits runs as another role by now, or does not run at all.
    private static let waitsBeforeUnseen = 10.0

    /// Whoever else reads that table does not do so again and again, within a minute each.
    private static let scansOfABeat = 3
    private static let longestPauseOfABeat = 60.0

    init(maxLoopInterval: Double?, grace: Double) {
        self.maxLoopInterval = maxLoopInterval ?? Self.defaultMaxLoopInterval
        self.grace = grace
    }

    /// A healthy beat writes last runs this late: every 180 s (celery/beat.py, `sync_every`) at its next tick.
    private var lastRunDelay: Double { max(190, 185 + maxLoopInterval) }

    /// The source could not be read: what beat did meanwhile nobody has seen.
    mutating func loseSight() {
        watchedSince = nil
        wasSeen = false
    }

    mutating func observe(_ reading: DatabaseSchedulerReading) -> BeatState {
        watchedSince = watchedSince ?? reading.time
        noteSessions(reading.sessions)
        let hasScanned = noteScans(reading.scans)
        noteUnseenScan(hasScanned, at: reading.time)
        let unseenAfter = Self.waitsBeforeUnseen * (maxLoopInterval + grace)
        let areSeen = reading.canSeeSessions || lastSeenTick.map { reading.time < $0 + unseenAfter } ?? false
        if let latest = beats.values.max() {
            heartbeat = max(heartbeat ?? 0, latest)
            wasSeen = true
        }
        let mayBeHidden = reading.sessions.contains { $0.query == .schedule || $0.query == .transaction }
        if hasScanned, !areSeen || areSessionsShared || mayBeHidden {
            heartbeat = reading.time
            wasSeen = true
        }
        firstHeartbeat = firstHeartbeat ?? heartbeat
        let wait = maxLoopInterval + (areSeen && !areSessionsShared ? 0 : Self.longestReportDelay)
        let deadline = heartbeat.map { $0 + wait }

        counter.observe(reading.entries.map { (Array($0.name.utf8), $0.task, $0.runs) }, at: reading.time)
        let entries = reading.entries.map { state(of: $0, at: reading.time) }
        let lastRun = reading.entries.compactMap { $0.runs > 0 ? $0.lastRun : nil }.max()
        lastTaskTime = [lastTaskTime, lastRun].compactMap { $0 }.max()

        let latest = wait + grace
        func isRecent(_ tick: Double) -> Bool { reading.time <= tick + latest }
        let isUp = heartbeat.map(isRecent) ?? false
        let isUndecided = !isUp && !wasSeen && watchedSince.map(isRecent) == true
        // A beat that only its scans betray cannot be counted.
        let canCount = areSeen && (!beats.isEmpty || !isUp)
        return BeatState(
            time: reading.time,
            isUp: isUndecided ? nil : isUp,
            isPreliminary: isUndecided,
            heartbeat: heartbeat,
            deadline: deadline,
            lock: nil,
            startTime: nil,
            instances: canCount ? beats.values.count(where: isRecent) : nil,
            maxLoopInterval: maxLoopInterval,
            grace: grace,
            schedule: ScheduleState(
                entries: entries.sorted { $0.name < $1.name },
                entryCount: reading.entryCount,
                disabledCount: entries.count { !$0.isEnabled },
                invalidCount: reading.entries.count { $0.timing == .invalid },
                nextDue: entries.lazy.filter(\.isEnabled).compactMap(\.nextDue).min(),
                lastTaskTime: lastTaskTime,
                tasksSent: counter.totals,
                queues: Set(reading.entries.compactMap(\.queue))
            )
        )
    }

    private mutating func noteSessions(_ sessions: [DatabaseSchedulerReading.Session]) {
        var now: [String: Double] = [:]
        var haveOthersUse = false
        for session in sessions {
            let known = beats[session.identifier]
            switch session.query {
            case .tick:
                now[session.identifier] = session.queryStart
                lastSeenTick = max(lastSeenTick ?? 0, session.queryStart)
            case .schedule:
                // Beat sends other queries too, and those hide its tick; they are signs of life as well.
                if known != nil { now[session.identifier] = session.queryStart }
            case .transaction:
                now[session.identifier] = known
            case .other:
                if known != nil { haveOthersUse = true }
            }
        }
        beats = now
        if !now.isEmpty { areSessionsShared = false } else if haveOthersUse { areSessionsShared = true }
    }

    /// Beat scans again and again; a pooler that cleans each session up, or others in it, hide who does.
    private mutating func noteUnseenScan(_ hasScanned: Bool, at time: Double) {
        let goesOn = beats.isEmpty && time - unseenScans.last <= Self.longestPauseOfABeat
        if !goesOn { unseenScans.count = 0 }
        guard hasScanned, beats.isEmpty else { return }
        unseenScans = (unseenScans.count + 1, time)
        if unseenScans.count >= Self.scansOfABeat { areSessionsShared = true }
    }

    /// Whether the table was scanned since the last look. A counter that is smaller was reset, and counts since then.
    private mutating func noteScans(_ count: Int64?) -> Bool {
        defer { scans = count }
        guard let count, let before = scans else { return false }
        return count > before || count > 0 && count < before
    }

    private func state(of entry: DatabaseEntry, at now: Double) -> BeatEntryState {
        let start = firstHeartbeat ?? now
        let due = entry.due(at: now, beatStart: start) ?? .infinity
        return BeatEntryState(
            name: entry.name,
            task: entry.task,
            isEnabled: entry.isEnabled,
            lastRun: entry.runs > 0 ? entry.lastRun : nil,
            nextDue: entry.isEnabled
                ? entry.nextDue(at: now, beatStart: start, notWrittenFor: lastRunDelay) : nil,
            // Within the delay no one can tell a late run from one that is not yet written.
            overdue: entry.isEnabled && now - due > lastRunDelay ? now - due : 0,
            runs: entry.runs
        )
    }
}
