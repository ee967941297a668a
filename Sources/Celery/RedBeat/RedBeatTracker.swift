/// Concludes from readings how beat is. Pure: it holds what must be remembered from one reading to the next.
struct RedBeatTracker {
    private let configuration: RedBeatConfiguration
    private var lockTimeout: LockTimeout
    private var tick: Tick?
    private var token: String?
    private var acquisitions = 0
    private var counter = SentTaskCounter()
    private var beatClock = BeatClock()
    private var lastReading: Double?
    private var lastTaskTime: Double?

    /// The last tick that was seen and what it led beat to do next.
    private struct Tick {
        /// When beat showed life.
        var time: Double
        var wake: Double
        /// Set until the tick has sent all it must.
        var isProvisional: Bool
    }

    /// By how many seconds a later reading of the same tick may differ. Later by next to nothing: Redis tells times to live
    /// in milliseconds, and ticks follow each other within hundredths of a second when entries fall due together. Earlier
    /// by as long as Redis took from reading its clock to reading the time to live; more means that the lock's timeout is
    /// now known better, or that Redis's clock was set back.
    private static let sameTick = -1.0...0.003
    /// A tick that has not sent all it must after this many seconds will not.
    private static let longestTick = 60.0
    private static let defaultMaxLoopInterval = 300.0
    /// A last run further ahead than this many seconds is no run.
    private static let longestClockLead = 600.0

    init(configuration: RedBeatConfiguration) {
        self.configuration = configuration
        lockTimeout = LockTimeout(configured: configuration.lockTimeout)
    }

    mutating func observe(_ reading: RedBeatReading) -> BeatState {
        let timeout = reading.lock.flatMap { lockTimeout.observe($0, at: reading.time) }
        if reading.lock == nil { lockTimeout.forget() }
        let interval = maxLoopInterval(lockTimeout: timeout)
        noteOwner(reading.lock)
        noteRuns(in: reading)
        let zone = applicationZone(of: reading.entries)
        let correction = beatClock.correction
        let dues = reading.entries.map { Self.due(of: $0, zone: zone).setBack(by: correction) }
        let reading = reading.withBeatTimes(setBackBy: correction)

        let usesLock = configuration.lock != .off
        if let heartbeat = usesLock ? lockHeartbeat(reading, timeout: timeout) : idleHeartbeat(reading) {
            noteTick(at: heartbeat, reading: reading, dues: dues, interval: interval)
        } else if !usesLock, reading.scheduleIdle == nil {
            takeRunsForTicks(reading, dues: dues)
        }

        let entries = zip(reading.entries, dues).compactMap { entry, due in
            entry.content.map { entryState($0, due: due, at: reading.time) }
        }
        // Beat's clock may be ahead, but not by so much that one nonsensical run would stand for ever.
        let lastRun = entries.compactMap(\.lastRun).filter { $0 < reading.time + Self.longestClockLead }.max()
        lastTaskTime = [lastTaskTime, lastRun].compactMap { $0 }.max().map { min($0, reading.time + reading.duration) }

        let isInTime = tick.map { reading.time <= $0.wake + configuration.grace } ?? false
        // Neither lock nor idle times, and no run to go by.
        let isUnknown = !usesLock && reading.scheduleIdle == nil && reading.entryCount > 0 && tick == nil
        let isUp = isInTime && (!usesLock || reading.lock?.timeToLive != nil)
        let isGuess = usesLock ? isUp && !lockTimeout.isCertain : reading.isIdleUnreliable
        return BeatState(
            time: reading.time,
            isUp: isUnknown ? nil : isUp,
            isPreliminary: isUnknown || isGuess,
            heartbeat: tick?.time,
            deadline: tick?.wake,
            lock: usesLock
                ? LockState(
                    isHeld: reading.lock != nil,
                    timeToLive: reading.lock?.timeToLive,
                    timeout: timeout ?? configuration.lockTimeout,
                    acquisitions: acquisitions
                ) : nil,
            startTime: startTime(reading.lock),
            // The lock lets one work.
            instances: usesLock ? (isUp ? 1 : 0) : nil,
            maxLoopInterval: interval,
            grace: configuration.grace,
            clockSkew: beatClock.skew,
            schedule: ScheduleState(
                entries: entries.sorted { $0.name < $1.name },
                entryCount: reading.entryCount,
                disabledCount: entries.count { !$0.isEnabled },
                invalidCount: reading.entries.count { $0.content == nil },
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

    private mutating func noteOwner(_ lock: RedBeatReading.Lock?) {
        guard let owner = lock?.token, owner != token else { return }
        if token != nil { acquisitions += 1 }
        token = owner
    }

    /// When the beat that holds the lock started; nil without one, and until its token was read.
    private func startTime(_ lock: RedBeatReading.Lock?) -> Double? {
        lock == nil ? nil : token.flatMap { LockToken.startTime($0) }.map { $0 - beatClock.correction }
    }

    /// Counts what was sent since the last reading, and compares beat's clock with Redis's.
    private mutating func noteRuns(in reading: RedBeatReading) {
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
    }

    // MARK: Signs of life

    private func lockHeartbeat(_ reading: RedBeatReading, timeout: Double?) -> Double? {
        guard let timeToLive = reading.lock?.timeToLive, let timeout else { return nil }
        return reading.time - (timeout - timeToLive)
    }

    /// Without a lock: each tick reads the schedule, which resets the key's idle time. We never touch that key.
    /// While idle times are unreliable beat gets the benefit of the doubt.
    private func idleHeartbeat(_ reading: RedBeatReading) -> Double? {
        guard let idle = reading.scheduleIdle else { return nil }
        if reading.isIdleUnreliable { return reading.time }
        // Idle times count whole seconds of Redis's clock: take the end of the second of the touch. After the data were
        // saved they reach back behind what was granted meanwhile.
        return max(tick?.time ?? 0, min(reading.time, reading.time.rounded(.down) - idle + 1))
    }

    private mutating func noteTick(at heartbeat: Double, reading: RedBeatReading, dues: [Due], interval: Double) {
        // What is stored after a tick does not change for how long beat sleeps. Past the wake nothing is certain.
        if let tick, !tick.isProvisional, Self.sameTick.contains(heartbeat - tick.time), reading.time <= tick.wake {
            return
        }
        let beatStart = startTime(reading.lock)
        let candidates = zip(reading.entries, dues).compactMap { entry, due in
            entry.content.map {
                RedBeatWake.Candidate(
                    score: entry.score,
                    isEnabled: $0.isEnabled,
                    due: Self.isCertain(due, of: $0, beatStart: beatStart) ? due.time : nil,
                    lastRun: $0.lastRunAt,
                    // Beat stores its own entries before it asks for the lock, by the same clock.
                    isKnown: $0.totalRunCount != nil || $0.lastRunAt ?? .infinity <= beatStart ?? -.infinity
                )
            }
        }
        tick = Tick(
            time: heartbeat,
            wake: RedBeatWake.after(
                tick: heartbeat,
                candidates: candidates,
                maxLoopInterval: interval,
                hasScores: reading.hasScores
            ),
            isProvisional: reading.time - heartbeat < Self.longestTick
                && RedBeatWake.isUnfinished(tick: heartbeat, candidates: candidates)
        )
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
        let ran = reading.entries.compactMap(\.content).filter { $0.totalRunCount != nil }
        guard let heartbeat = ran.compactMap(\.lastRunAt).max() else { return }
        let enabled = zip(reading.entries, dues).compactMap { entry, due in
            entry.content?.isEnabled == true ? due.time : nil
        }
        tick = enabled.min().map { Tick(time: heartbeat, wake: $0, isProvisional: false) }
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
        // Scores of sorted sets can be infinite.
        let byScore = Due(time: entry.score > 0 && entry.score.isFinite ? entry.score : nil, isComputed: false)
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
