/// What one collection found in RedBeat's Redis, before anything is concluded from it.
struct RedBeatReading: Equatable, Sendable {
    /// Redis's own clock (TIME), Unix seconds. The exporter's clock plays no part.
    var time: Double
    /// Seconds from reading the clock to having read the entries.
    var duration = 0.0
    /// Nil when the key does not exist.
    var lock: Lock?
    /// Whole seconds since the schedule was last touched by anyone (OBJECT IDLETIME). Read only without a lock.
    var scheduleIdle: Double?
    /// Whether idle times may be wrong: while a child process saves the data, reads do not count as touches.
    var isIdleUnreliable = false
    /// Entries in the order of the sorted set.
    var entries: [Entry] = []
    /// Members of the schedule, also those beyond the bound on what is read.
    var entryCount = 0
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
    }

    /// The same with the times that beat wrote on another clock, so many seconds behind.
    func withBeatTimes(setBackBy seconds: Double) -> RedBeatReading {
        guard seconds != 0 else { return self }
        var reading = self
        for index in reading.entries.indices {
            if reading.entries[index].score > 0 { reading.entries[index].score -= seconds }
            // The correction is rather too small, yet nothing has run that was not there to be read.
            guard let lastRun = reading.entries[index].content?.lastRunAt else { continue }
            reading.entries[index].content?.lastRunAt = min(lastRun - seconds, time + duration)
        }
        return reading
    }
}
