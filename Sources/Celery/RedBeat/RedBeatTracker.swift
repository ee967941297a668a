internal import TimeZones

/// Concludes from readings how beat is. Pure: it holds what must be remembered from one reading to the next.
struct RedBeatTracker {
    private let configuration: RedBeatConfiguration
    private var lockTimeout: LockTimeout
    private var lockUse: LockUse
    private var tick: Tick?
    /// When the tick before it was seen.
    private var previousTick: Double?
    private var pace = RedBeatPace()
    private var owners = LockOwners()
    private var counter = SentTaskCounter()
    private var beatClock = BeatClock()
    private var lastReading: Double?
    private var lastTaskTime: Double?

    /// The last tick that was seen and what it led beat to do next.
    private struct Tick {
        /// When beat showed life.
        var time: Double
        var wake: Double
        /// Set while the tick has more to send.
        var isAtWork: Bool
    }

    /// By how many seconds a later reading of the same tick may differ. Later by next to nothing: Redis tells times to live
    /// in milliseconds, and ticks follow each other within hundredths of a second when entries fall due together. Earlier
    /// by as long as Redis took from reading its clock to reading the time to live; more means that the lock's timeout is
    /// now known better, or that Redis's clock was set back.
    private static let sameTick = -1.0...0.003
    private static let defaultMaxLoopInterval = 300.0
    /// How far beat's clock and Redis's may be apart unnoticed, in seconds.
    private static let clockTolerance = 1.0
    /// A last run further ahead than this many seconds is no run.
    private static let longestClockLead = 600.0
    /// A crontab that was due longer before a tick, in seconds, beat may skip (`beat_cron_starting_deadline`).
    private static let surelySent = 5.0

    init(configuration: RedBeatConfiguration) {
        self.configuration = configuration
        lockTimeout = LockTimeout(configured: configuration.lockTimeout)
        lockUse = LockUse(configuration.lock)
    }

    /// Whether beat was found to work without the lock that it is expected to have.
    var worksUnlocked: Bool { configuration.lock != .off && lockUse.answer == .unused }

    mutating func observe(_ reading: RedBeatReading) -> BeatState {
        let timeout = reading.lock.flatMap { lockTimeout.observe($0, at: reading.time) }
        if reading.lock == nil { lockTimeout.forget() }
        let interval = maxLoopInterval(lockTimeout: timeout)
        owners.observe(reading.lock, at: reading.time, timeout: timeout)
        let hasRun = noteRuns(in: reading)
        let zone = applicationZone(of: reading.entries)
        let correction = beatClock.correction
        let dues = reading.entries.map { Self.due(of: $0, zone: zone).setBack(by: correction) }
        let unscoredDues = reading.unscored.map { Self.due(of: $0, zone: zone).setBack(by: correction) }
        let reading = reading.withBeatTimes(setBackBy: correction)

        let touch = idleHeartbeat(reading)
        lockUse.observe(
            hasLock: reading.lock != nil,
            hasRun: hasRun,
            touch: reading.isIdleUnreliable ? nil : touch,
            isLate: waitsInVain(reading, dues, for: configuration.grace)
        )
        let use = lockUse.answer
        // While it is not known whether there should be a lock, idle time still tells of nobody at work.
        if let heartbeat = use == .used ? lockHeartbeat(reading, timeout: timeout) : touch {
            noteTick(at: heartbeat, reading: reading, dues: dues, interval: interval, hasRun: hasRun)
        } else if use == .unused, reading.scheduleIdle == nil, !reading.isReplica {
            takeRunsForTicks(reading, dues: dues)
        }

        let entries = (zip(reading.entries, dues).map { ($0, $1) } + zip(reading.unscored, unscoredDues)).compactMap {
            entry,
            due in entry.content.map { entryState($0, due: due, at: reading.time) }
        }
        // Beat's clock may be ahead, but not by so much that one nonsensical run would stand for ever.
        let lastRun = entries.compactMap(\.lastRun).filter { $0 < reading.time + Self.longestClockLead }.max()
        lastTaskTime = [lastTaskTime, lastRun].compactMap { $0 }.max().map { min($0, reading.time + reading.duration) }

        let isUp = isUp(reading, dues, use: use, interval: interval)
        let isGuess = use == .used ? isUp == true && !lockTimeout.isCertain : reading.isIdleUnreliable && isUp != false
        // Touches that may be anybody's are no heartbeat.
        let seen = use == .unknown ? nil : tick
        return BeatState(
            time: reading.time,
            isUp: isUp,
            isPreliminary: isUp == nil || isGuess,
            heartbeat: seen?.time,
            deadline: seen?.wake,
            lock: use == .used || use == .unknown && isUp != nil
                ? LockState(
                    isHeld: reading.lock != nil,
                    timeToLive: reading.lock?.timeToLive,
                    timeout: timeout ?? configuration.lockTimeout,
                    acquisitions: owners.changes
                ) : nil,
            startTime: startTime(reading.lock),
            // The lock lets one work.
            instances: use == .unused ? nil : isUp.map { $0 ? 1 : 0 },
            maxLoopInterval: interval,
            grace: configuration.grace,
            clockSkew: beatClock.skew,
            schedule: ScheduleState(
                entries: entries.sorted { $0.name < $1.name },
                entryCount: reading.entryCount,
                disabledCount: entries.count { !$0.isEnabled },
                invalidCount: reading.entries.count { $0.content == nil } + reading.unscored.count
                    + reading.unnamedCount,
                nextDue: entries.lazy.filter(\.isEnabled).compactMap(\.nextDue).min(),
                lastTaskTime: lastTaskTime,
                tasksSent: counter.totals,
                queues: Set(reading.entries.compactMap { $0.content?.queue })
            )
        )
    }

    /// RedBeat's lock timeout is five loop intervals unless it was set: a longer timeout than the default's tells of a
    /// longer interval. A shorter one may have been set for itself, so it tells nothing.
    private func maxLoopInterval(lockTimeout: Double?) -> Double {
        configuration.maxLoopInterval ?? max(Self.defaultMaxLoopInterval, (lockTimeout ?? 0) / 5)
    }

    /// When the beat that holds the lock started; nil without one, and until its token was read.
    private func startTime(_ lock: RedBeatReading.Lock?) -> Double? {
        lock == nil ? nil : owners.token.flatMap { LockToken.startTime($0) }.map { $0 - beatClock.correction }
    }

    /// Counts what was sent since the last reading, and compares beat's clock with Redis's.
    /// - Returns: whether anything has run since.
    private mutating func noteRuns(in reading: RedBeatReading) -> Bool {
        let haveRun = counter.observe(
            reading.entries.compactMap { entry in
                entry.content.map { (entry.key, $0.task, $0.totalRunCount ?? 0) }
            },
            at: reading.time
        )
        if let lastReading, !haveRun.isEmpty {
            let runs = reading.entries.filter { haveRun.contains($0.key) }.compactMap { $0.content?.lastRunAt }
            beatClock.observe(runs: runs, since: lastReading, until: reading.time + reading.duration)
        }
        if let start = reading.lock?.token.flatMap({ LockToken.startTime($0) }) {
            beatClock.observe(start: start, at: reading.time)
        }
        lastReading = reading.time
        return !haveRun.isEmpty
    }

    // MARK: Signs of life

    /// Nil where nothing tells whether beat is alive.
    private func isUp(_ reading: RedBeatReading, _ dues: [Due], use: LockUse.Answer, interval: Double) -> Bool? {
        let isInTime = tick.map { reading.time <= $0.wake + configuration.grace } ?? false
        switch use {
        case .used: return isInTime && reading.lock?.timeToLive != nil
        case .unused:
            // Neither lock nor idle times, and no run to go by; reads by beat touch nothing in a copy.
            let isBlind = reading.isReplica || reading.scheduleIdle == nil && tick == nil
            return isBlind && reading.entryCount > 0 ? nil : isInTime
        case .unknown where reading.entryCount == 0 && !reading.hasSchedule: return false
        case .unknown:
            // Something may be at work as long as the schedule was touched within a loop interval.
            if !reading.isReplica, reading.scheduleIdle != nil { return isInTime ? nil : false }
            return waitsInVain(reading, dues, for: interval + configuration.grace) ? false : nil
        }
    }

    /// Whether an entry that beat would surely have sent has been due for longer than so many seconds.
    private func waitsInVain(_ reading: RedBeatReading, _ dues: [Due], for seconds: Double) -> Bool {
        zip(reading.entries, dues).contains { entry, due in
            guard let content = entry.content, content.isEnabled, due.isComputed, let time = due.time else {
                return false
            }
            if case .crontab = content.schedule { return false }
            return time + seconds < reading.time
        }
    }

    private func lockHeartbeat(_ reading: RedBeatReading, timeout: Double?) -> Double? {
        guard let timeToLive = reading.lock?.timeToLive, let timeout else { return nil }
        return reading.time - (timeout - timeToLive)
    }

    /// Without a lock: each tick reads the schedule, which resets the key's idle time. We never touch that key.
    /// While idle times are unreliable beat gets the benefit of the doubt.
    private func idleHeartbeat(_ reading: RedBeatReading) -> Double? {
        guard let idle = reading.scheduleIdle, reading.lock == nil, !reading.isReplica else { return nil }
        if reading.isIdleUnreliable { return reading.time }
        // Idle times count whole seconds of Redis's clock: take the end of the second of the touch. After the data were
        // saved they reach back behind what was granted meanwhile.
        return max(tick?.time ?? 0, min(reading.time, reading.time.rounded(.down) - idle + 1))
    }

    /// - Parameter hasRun: whether anything has run since the last reading.
    private mutating func noteTick(
        at heartbeat: Double,
        reading: RedBeatReading,
        dues: [Due],
        interval: Double,
        hasRun: Bool
    ) {
        // What is stored after a tick does not change for how long beat sleeps. Past the wake only a run tells that the
        // tick had not ended: new scores may be those of a successor that waits for a dead beat's lock.
        if let tick, !tick.isAtWork, Self.sameTick.contains(heartbeat - tick.time),
            reading.time <= tick.wake || !hasRun
        {
            return
        }
        let beatStart = startTime(reading.lock)
        // When the tick before this one was; several looks at one differ by next to nothing.
        let before = tick.flatMap { Self.sameTick.contains(heartbeat - $0.time) ? previousTick : $0.time }
        let candidates = zip(reading.entries, dues).compactMap { entry, due in
            entry.content.map {
                RedBeatWake.Candidate(
                    score: entry.score,
                    isEnabled: $0.isEnabled,
                    due: Self.isCertain(due, of: $0, beatStart: beatStart) ? due.time : nil,
                    lastRun: $0.lastRunAt,
                    isKnown: Self.isKnown(entry, $0, tick: heartbeat, beatStart: beatStart),
                    isSentWhenDue: reading.hasScores && isSentWhenDue($0, due: due, tick: heartbeat, after: before)
                )
            }
        }
        let wake = RedBeatWake(
            tick: heartbeat,
            now: reading.time + reading.duration,
            candidates: candidates,
            maxLoopInterval: interval,
            hasScores: reading.hasScores,
            pace: pace
        )
        pace.observe(wake, tick: heartbeat)
        previousTick = before
        tick = Tick(time: heartbeat, wake: wake.time, isAtWork: wake.isAtWork)
    }

    /// Whether beat knew the entry at its tick: it has run, or was stored by beat itself, which stores its own entries
    /// before it asks for the lock and ticks, by the same clock.
    private static func isKnown(
        _ entry: RedBeatReading.Entry,
        _ content: RedBeatEntry,
        tick: Double,
        beatStart: Double?
    ) -> Bool {
        guard content.totalRunCount == nil else { return true }
        let stored = content.lastRunAt ?? .infinity
        if let beatStart, stored <= beatStart { return true }
        return beatStart == nil && entry.isStatic && stored <= tick
    }

    /// What became due after the tick before is sent by this one. An interval is sent however late; a crontab may be skipped.
    private func isSentWhenDue(_ entry: RedBeatEntry, due: Due, tick: Double, after before: Double?) -> Bool {
        guard due.isComputed, let time = due.time else { return false }
        if let before, time <= before { return false }
        if case .crontab = entry.schedule { return before != nil && tick - time < Self.surelySent }
        return true
    }

    /// A score tells when an entry is due only if this beat's own run has written it: beat's start writes scores that are
    /// too early.
    private static func isCertain(_ due: Due, of entry: RedBeatEntry, beatStart: Double?) -> Bool {
        guard !due.isComputed else { return true }
        guard let beatStart, let lastRun = entry.lastRunAt, entry.totalRunCount != nil else { return false }
        return lastRun >= beatStart
    }

    /// Without a lock and without idle times (an LFU eviction policy): runs are the only sign of life, and beat must
    /// show the next one when an entry is due.
    private mutating func takeRunsForTicks(_ reading: RedBeatReading, dues: [Due]) {
        // What is to come was not written by a run.
        let end = reading.time + reading.duration + Self.clockTolerance
        let past = zip(reading.entries, dues).filter { entry, _ in entry.content?.lastRunAt ?? 0 <= end }
        let runs = past.compactMap { entry, _ in entry.content?.totalRunCount == nil ? nil : entry.content?.lastRunAt }
        guard let heartbeat = runs.max() else { return }
        let enabled = past.compactMap { entry, due in entry.content?.isEnabled == true ? due.time : nil }
        tick = enabled.min().map { Tick(time: heartbeat, wake: $0, isAtWork: false) }
    }

    // MARK: Entries

    /// The zone of crontabs is the application's. Redis does not hold it, but beat writes last runs in it; entries that
    /// have never run may hold another, so the latest run decides.
    private func applicationZone(of entries: [RedBeatReading.Entry]) -> TimeZone? {
        let latest = entries.lazy.compactMap(\.content).filter { $0.totalRunCount != nil && $0.zone != nil }
            .max { ($0.lastRunAt ?? 0) < ($1.lastRunAt ?? 0) }
        return latest?.zone.flatMap { TimeZoneCache.zone($0) }
    }

    /// When an entry is truly due: computed where that is possible, else by its score.
    private struct Due {
        /// Nil when never again.
        var time: Double?
        /// A score may lie in the past although the entry is not due.
        var isComputed: Bool

        func setBack(by seconds: Double) -> Due {
            Due(time: time.map { $0 - seconds }, isComputed: isComputed)
        }
    }

    private static func due(of entry: RedBeatReading.Entry, zone: TimeZone?) -> Due {
        // Scores of sorted sets can be infinite, and later than any calendar goes.
        let byScore = Due(time: entry.score > 0 && entry.score < 1e11 ? entry.score : nil, isComputed: false)
        guard entry.score >= 0, let content = entry.content, let lastRun = content.lastRunAt else { return byScore }
        switch content.schedule {
        case .crontab(let crontab):
            // Before the first run of any entry the zone is unknown.
            guard let zone else { return byScore }
            return Due(time: crontab.due(after: lastRun, in: zone), isComputed: true)
        case .interval(let seconds, relative: false):
            return Due(time: lastRun + seconds, isComputed: true)
        case .interval(_, relative: true), .opaque:
            return byScore
        }
    }

    private func entryState(_ entry: RedBeatEntry, due: Due, at time: Double) -> BeatEntryState {
        let dueTime = due.time ?? .infinity
        // Only a score, and it had passed at the last tick: beat looked at the entry and found it not due.
        let isKnownNotDue = !due.isComputed && dueTime <= tick?.time ?? -.infinity
        let late = entry.isEnabled && !isKnownNotDue ? max(0, time - dueTime) : 0
        return BeatEntryState(
            name: entry.name,
            task: entry.task,
            isEnabled: entry.isEnabled,
            lastRun: entry.totalRunCount == nil ? nil : entry.lastRunAt,
            nextDue: due.time,
            overdue: late,
            runs: entry.totalRunCount ?? 0
        )
    }
}
