/// What one collection found of django-celery-beat's DatabaseScheduler.
struct DatabaseSchedulerReading: Equatable, Sendable {
    /// PostgreSQL's clock, Unix seconds.
    var time: Double
    var sessions: [Session] = []
    /// Whether other sessions' queries may be read at all.
    var canSeeSessions: Bool
    /// What has been done so far to the table that beat reads at every tick; nil when not told.
    var use: TableUse?
    /// Whether the database is a standby: beat's sessions and scans are on the primary.
    var isStandby = false
    var entries: [DatabaseEntry] = []
    var entryCount = 0

    struct Session: Equatable, Sendable {
        /// Its own among all that the server has had.
        var identifier: String
        /// When it began its last query.
        var queryStart: Double
        var query: Query
    }

    /// How often `django_celery_beat_periodictasks` was read and written.
    struct TableUse: Equatable, Sendable {
        var scans: Int64
        var updates: Int64 = 0
        var inserts: Int64 = 0

        static let none = TableUse(scans: 0)
    }

    /// What the last query of a session was.
    enum Query: String, Sendable {
        /// What beat sends at every tick.
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
/// or have gone on to what may hide a tick, the table's scan counter tells that it happened, less the scans of those who
/// change the schedule. Nothing that rows say counts.
struct DatabaseSchedulerTracker {
    private var maxLoopInterval = Self.defaultMaxLoopInterval
    private let grace: Double
    private var heartbeat: Double?
    private var use: DatabaseSchedulerReading.TableUse?
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
    private var storedRuns: StoredRuns
    private var lastRunClock = LastRunClock()
    private var lastReading: Double?
    private var lastTaskTime: Double?

    /// Source: django_celery_beat/schedulers.py, `DEFAULT_MAX_INTERVAL`.
    private static let defaultMaxLoopInterval = 5.0
    /// An idle session may report its scans this much later. Source: PostgreSQL's pgstat.c, `PGSTAT_IDLE_INTERVAL`.
    private static let longestReportDelay = 10.0
    /// A beat whose ticks are not seen for so many waits runs as another role by now, or does not run at all.
    private static let waitsBeforeUnseen = 10.0

    /// Beat's clock may be ahead by so much.
    private static let longestClockLead = 60.0
    /// Whoever else reads that table does not do so again and again, within a minute each.
    private static let scansOfABeat = 3
    private static let longestPauseOfABeat = 60.0

    /// Whoever changes the schedule looks for its row and updates it, which scans the table twice; who creates it, once.
    /// Source: django_celery_beat/models.py, `update_changed`, and `update_or_create` of Django 3.2 to 5.2.
    private static let scansOfAnUpdate: Int64 = 2

    init(grace: Double) {
        self.grace = grace
        storedRuns = StoredRuns(grace: grace)
    }

    /// The source could not be read: what beat did meanwhile nobody has seen.
    mutating func loseSight() {
        watchedSince = nil
        wasSeen = false
        lastReading = nil
        storedRuns.loseSight()
    }

    /// - Parameter maxLoopInterval: seconds of `beat_max_loop_interval`; beat's default where nil.
    mutating func observe(_ reading: DatabaseSchedulerReading, maxLoopInterval: Double? = nil) -> BeatState {
        self.maxLoopInterval = maxLoopInterval ?? Self.defaultMaxLoopInterval
        var state = life(reading)
        state.schedule = schedule(reading, state)
        lastReading = reading.time
        return state
    }

    private mutating func life(_ reading: DatabaseSchedulerReading) -> BeatState {
        watchedSince = watchedSince ?? reading.time
        noteSessions(reading.sessions)
        let hasTicked = noteUse(reading.use)
        noteUnseenTick(hasTicked, at: reading.time)
        let unseenAfter = Self.waitsBeforeUnseen * (maxLoopInterval + grace)
        let areSeen = reading.canSeeSessions || lastSeenTick.map { reading.time < $0 + unseenAfter } ?? false
        if let latest = beats.values.max() {
            heartbeat = max(heartbeat ?? 0, latest)
            wasSeen = true
        }
        let mayBeHidden = reading.sessions.contains { $0.query == .schedule || $0.query == .transaction }
        if hasTicked, !areSeen || areSessionsShared || mayBeHidden {
            heartbeat = reading.time
            wasSeen = true
        }
        guard !reading.isStandby else {
            return BeatState(time: reading.time, maxLoopInterval: maxLoopInterval, grace: grace)
        }
        let wait = maxLoopInterval + (areSeen && !areSessionsShared ? 0 : Self.longestReportDelay)
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
            deadline: heartbeat.map { $0 + wait },
            instances: canCount ? beats.values.count(where: isRecent) : nil,
            maxLoopInterval: maxLoopInterval,
            grace: grace
        )
    }

    private mutating func schedule(_ reading: DatabaseSchedulerReading, _ state: BeatState) -> ScheduleState {
        let now = reading.time
        let haveRun = counter.observe(reading.entries.lazy.map { ($0.key, $0.task, $0.runs) }, at: now)
        let newest = reading.entries.lazy.filter { haveRun.contains($0.key) }.compactMap(\.lastRun).max()
        if let newest, let lastReading { lastRunClock.observe(newest: newest, between: lastReading, and: now) }
        var rows = reading.entries
        for index in rows.indices { rows[index].lastRun = rows[index].lastRun.map { $0 - lastRunClock.offset } }

        let life = StoredRuns.Life(isUp: state.isUp, heartbeat: heartbeat, maxLoopInterval: maxLoopInterval)
        var entries = storedRuns.observe(rows, haveRun: haveRun, at: now, life)
        for index in entries.indices {
            guard let lastRun = entries[index].lastRun, lastRun > now + Self.longestClockLead else { continue }
            // No run was then: it was put off, or is not on this clock, which only a run can tell.
            entries[index].lastRun = nil
            if !lastRunClock.isKnown { (entries[index].nextDue, entries[index].overdue) = (nil, nil) }
        }
        lastTaskTime = [lastTaskTime, entries.lazy.compactMap(\.lastRun).max()].compactMap { $0 }.max()
            .map { min($0, now) }
        return ScheduleState(
            entries: entries.sorted { $0.name < $1.name },
            entryCount: reading.entryCount,
            disabledCount: entries.count { !$0.isEnabled },
            invalidCount: reading.entries.count { $0.timing == .invalid },
            nextDue: entries.lazy.filter(\.isEnabled).compactMap(\.nextDue).min(),
            lastTaskTime: lastTaskTime,
            tasksSent: counter.totals,
            queues: Set(reading.entries.compactMap(\.queue))
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

    /// Beat ticks again and again; a pooler that cleans each session up, or others in it, hide who does.
    private mutating func noteUnseenTick(_ hasTicked: Bool, at time: Double) {
        let goesOn = beats.isEmpty && time - unseenScans.last <= Self.longestPauseOfABeat
        if !goesOn { unseenScans.count = 0 }
        guard hasTicked, beats.isEmpty else { return }
        unseenScans = (unseenScans.count + 1, time)
        if unseenScans.count >= Self.scansOfABeat { areSessionsShared = true }
    }

    /// Whether the table was scanned since the last look by more than those who wrote it. Counters that are smaller were
    /// reset, and count since then.
    private mutating func noteUse(_ use: DatabaseSchedulerReading.TableUse?) -> Bool {
        defer { self.use = use }
        guard let use, let last = self.use else { return false }
        let wasReset = use.scans < last.scans || use.updates < last.updates || use.inserts < last.inserts
        let before = wasReset ? .none : last
        let (updates, inserts) = (use.updates &- before.updates, use.inserts &- before.inserts)
        return use.scans &- before.scans &- Self.scansOfAnUpdate &* updates &- inserts > 0
    }
}
