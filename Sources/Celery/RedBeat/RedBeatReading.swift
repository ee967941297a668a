/// What one collection found in RedBeat's Redis, before anything is concluded from it.
struct RedBeatReading: Equatable, Sendable {
    /// Redis's own clock (TIME), Unix seconds. The exporter's clock plays no part.
    var time: Double
    /// Seconds from reading the clock to having read the entries.
    var duration = 0.0
    /// Nil when the key does not exist.
    var lock: Lock?
    /// Whole seconds since the schedule was last touched by anyone (OBJECT IDLETIME). It tells something while there is no
    /// lock: only then is the schedule never touched by the exporter.
    var scheduleIdle: Double?
    /// Whether this Redis copies another, where reads by beat touch nothing.
    var isReplica = false
    /// Whether idle times may be wrong: while a child process saves the data, reads do not count as touches.
    var isIdleUnreliable = false
    /// Whether there is a schedule, read or not.
    var hasSchedule = false
    /// Entries in the order of the sorted set.
    var entries: [Entry] = []
    /// Entries that are stored but have no score in the schedule: beat does not see them.
    var unscored: [Entry] = []
    /// Members of the schedule, also those beyond the bound on what is read.
    var entryCount = 0
    /// Those of them whose names are too long to be read.
    var unnamedCount = 0
    /// Whether the schedule's scores were read; without a lock they are not, as reading them would touch the key.
    var hasScores = true

    struct Lock: Equatable, Sendable {
        /// What the owner wrote: 32 hexadecimal digits of a UUIDv1. Nil where it was not read, as it cannot have changed.
        var token: String?
        /// Seconds until it ends; nil when it has no end.
        var timeToLive: Double?
        /// Whole seconds since the key was last touched by anyone; nil when unknown or unreliable.
        var idle: Double?
    }

    struct Entry: Equatable, Sendable {
        var key: [UInt8]
        /// Unix seconds; negative when the schedule is exhausted. 0 where scores were not read.
        var score: Double
        /// Nil when it cannot be decoded.
        var content: RedBeatEntry?
        /// Whether beat stores it at each start, from its configuration (`redbeat::statics`).
        var isStatic = false
    }

    /// The same with the times that beat wrote on another clock, so many seconds behind.
    func withBeatTimes(setBackBy seconds: Double) -> RedBeatReading {
        guard seconds != 0 else { return self }
        var reading = self
        for index in reading.entries.indices {
            if reading.entries[index].score > 0 { reading.entries[index].score -= seconds }
            guard let lastRun = reading.entries[index].content?.lastRunAt else { continue }
            let corrected = lastRun - seconds
            let end = time + duration
            // The correction is rather too small, yet nothing has run that was not there to be read. What lies far ahead
            // all the same is no run of this beat's.
            reading.entries[index].content?.lastRunAt = corrected < end + abs(seconds) ? min(corrected, end) : corrected
        }
        return reading
    }
}
