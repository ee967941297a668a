internal import Reading

/// What is known of one beat at one moment. All times are Unix seconds.
package struct BeatState: Equatable, Sendable {
    /// The moment of the reading, on the clock of the source.
    package var time: Double
    /// Whether a beat demonstrably lives: not later than its deadline plus grace and, with a lock, holding it. Nil while it
    /// has not been watched for long enough to tell.
    package var isUp: Bool?
    /// Whether another look may soon tell otherwise, because this one has not seen enough.
    package var isPreliminary = false
    /// Whether nothing of a beat, nor of a schedule, is where it is looked for.
    package var isNowhere = false
    /// When beat last showed life; nil when never seen.
    package var heartbeat: Double?
    /// When a live beat must next show life; nil when never seen.
    package var deadline: Double?
    /// Nil where the lock is switched off.
    package var lock: LockState?
    /// When the process that holds the lock started.
    package var startTime: Double?
    /// Beats that are alive at once; nil where that cannot be told.
    package var instances: Int?
    /// The longest a beat sleeps; nil where it does not matter.
    package var maxLoopInterval: Double?
    package var grace: Double
    /// By how many seconds at least beat's own clock is ahead of the source's; 0 where they agree as far as can be told, nil
    /// where nothing tells.
    package var clockSkew: Double?
    /// Nil where only beat itself is seen.
    package var schedule: ScheduleState?
}

/// What beat has promised to do, and what it has done.
package struct ScheduleState: Equatable, Sendable {
    /// Entries that could be read, by name.
    package var entries: [BeatEntryState]
    /// All entries, also those that could not be read.
    package var entryCount: Int
    package var disabledCount: Int
    package var invalidCount: Int
    /// The earliest due time among enabled entries.
    package var nextDue: Double?
    /// When beat last sent any task; nil before the first.
    package var lastTaskTime: Double?
    /// Tasks sent since the exporter started, by task name.
    package var tasksSent: [String: Int] = [:]
    /// Queues that entries name in their options.
    package var queues: Set<String> = []
}

package struct LockState: Equatable, Sendable {
    package var isHeld: Bool
    /// Seconds until it ends by itself; nil when it is not held or has no end.
    package var timeToLive: Double?
    /// Seconds it is given at each extension; nil until known.
    package var timeout: Double?
    /// Changes of the owner that were seen.
    package var acquisitions: Int
}

package struct BeatEntryState: Equatable, Sendable {
    package var name: String
    package var task: String
    package var isEnabled: Bool
    /// Nil before the first run.
    package var lastRun: Double?
    /// When it is next truly due; nil when never again.
    package var nextDue: Double?
    /// Seconds it is late; 0 when it is not, and for disabled entries; nil where that cannot be known.
    package var overdue: Double?
    /// Runs as the scheduler counts them; nil where it does not.
    package var runs: Int?
}

extension Reading where State == BeatState {
    /// Of a beat, which is preliminary as its state is.
    init(of state: BeatState?, problems: [SourceProblem], advice: [String]) {
        self.init(state, problems: problems, advice: advice, isPreliminary: state?.isPreliminary ?? false)
    }
}
