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
        /// Whether that was the query that beat sends at every tick.
        var isTick: Bool
    }
}

/// Concludes from readings how a DatabaseScheduler is. Pure: it holds what must be remembered.
///
/// It has no lock. Its heartbeat is that every tick, at most five seconds apart, reads
/// `django_celery_beat_periodictasks`: sessions tell when exactly, and where they cannot be seen, the table's scan counter
/// tells that it happened. `last_run_at` says nothing: a healthy beat writes it every three minutes.
struct DatabaseSchedulerTracker {
    private let maxLoopInterval: Double
    private let grace: Double
    private var heartbeat: Double?
    private var scans: Int64?
    /// The last query of each session that has ticked and still exists: those of beats.
    private var beats: [String: Double] = [:]
    private var firstReading: Double?
    private var counter = SentTaskCounter()
    private var lastTaskTime: Double?

    /// Source: django_celery_beat/schedulers.py, `DEFAULT_MAX_INTERVAL`.
    private static let defaultMaxLoopInterval = 5.0
    /// An idle session may report its scans this much later. Source: PostgreSQL's pgstat.c, `PGSTAT_IDLE_INTERVAL`.
    private static let longestReportDelay = 10.0
    /// A healthy beat writes last runs this late: every 180 s (celery/beat.py, `sync_every`) at its next tick.
    static let lastRunDelay = 190.0

    init(maxLoopInterval: Double?, grace: Double) {
        self.maxLoopInterval = maxLoopInterval ?? Self.defaultMaxLoopInterval
        self.grace = grace
    }

    mutating func observe(_ reading: DatabaseSchedulerReading) -> BeatState {
        firstReading = firstReading ?? reading.time
        let hasScanned = scans.map { before in reading.scans.map { $0 != before } ?? false } ?? false
        scans = reading.scans
        // Beat sends other queries too, and those hide its tick; they are signs of life as well.
        let known = beats
        beats = [:]
        for session in reading.sessions where session.isTick || known[session.identifier] != nil {
            beats[session.identifier] = session.queryStart
        }
        if let latest = beats.values.max() {
            heartbeat = max(heartbeat ?? 0, latest)
        } else if hasScanned {
            heartbeat = reading.time
        }
        let wait = maxLoopInterval + (reading.canSeeSessions ? 0 : Self.longestReportDelay)
        let deadline = heartbeat.map { $0 + wait }

        counter.observe(reading.entries.map { (Array($0.name.utf8), $0.task, $0.runs) }, at: reading.time)
        let entries = reading.entries.map { Self.state(of: $0, at: reading.time) }
        let lastRun = reading.entries.compactMap { $0.runs > 0 ? $0.lastRun : nil }.max()
        lastTaskTime = [lastTaskTime, lastRun].compactMap { $0 }.max()

        let latest = wait + grace
        func isRecent(_ tick: Double) -> Bool { reading.time <= tick + latest }
        let isUndecided = heartbeat == nil && firstReading.map(isRecent) == true
        // A beat that only its scans betray cannot be counted.
        let canCount = reading.canSeeSessions && (!beats.isEmpty || heartbeat.map(isRecent) != true)
        return BeatState(
            time: reading.time,
            isUp: isUndecided ? nil : heartbeat.map(isRecent) ?? false,
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

    private static func state(of entry: DatabaseEntry, at now: Double) -> BeatEntryState {
        let due = entry.due(at: now) ?? .infinity
        return BeatEntryState(
            name: entry.name,
            task: entry.task,
            isEnabled: entry.isEnabled,
            lastRun: entry.runs > 0 ? entry.lastRun : nil,
            nextDue: entry.nextDue(at: now, notWrittenFor: lastRunDelay),
            // Within the delay no one can tell a late run from one that is not yet written.
            overdue: entry.isEnabled && now - due > lastRunDelay ? now - due : 0,
            runs: entry.runs
        )
    }
}
