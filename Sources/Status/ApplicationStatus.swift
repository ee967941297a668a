package import Celery
package import Collection
internal import Reading

/// What is known of one application at one moment, for people and for programs that ask.
///
/// All times are Unix seconds. What is nil is not known; an empty list is known to be empty.
package struct ApplicationStatus: Equatable, Sendable {
    /// The name of the application in the configuration file; nil for the one that flags tell of.
    package var target: String?
    /// When this was put together, by the exporter's clock.
    package var time: Double
    /// One for each scheduler that is there or has to be.
    package var beats: [Beat] = []
    /// Nil while the broker cannot be read, or where there is none.
    package var queues: [Queue]?
    package var unacked: Unacked?
    /// Nil while the database cannot be read, or where there is no task table.
    package var tasks: [Task]?
    package var pipelines: [Pipeline]?
    package var workers: [Worker]?
    /// All collectors, in the order in which they are listed.
    package var collectors: [CollectorHealth] = []
    /// Where beats were looked for, and what was found instead; nil while none has been missed.
    package var search: BeatSearch?
    /// How beats are looked for.
    package var settings = BeatSettings()
    /// Whether the configuration was right when it was last read; nil for an application of the configuration file.
    package var isConfigurationLoaded: Bool?
}

extension ApplicationStatus {
    /// One beat, as its scheduler tells of it.
    package struct Beat: Equatable, Sendable {
        package var scheduler: Scheduler
        /// Whether it is demonstrably alive; nil when that cannot be told.
        package var isUp: Bool?
        /// Whether another look may soon tell otherwise, because the last one could not see all.
        package var isPreliminary = false
        /// Whether nothing of it is where it is looked for.
        package var isNowhere = false
        /// When it was looked at, by the clock of what tells of it, as all other times of a beat are.
        package var observed: Double?
        /// What that clock shows at the status's `time`.
        package var now: Double
        package var heartbeat: Double?
        package var deadline: Double?
        package var grace: Double?
        package var maxLoopInterval: Double?
        package var startTime: Double?
        package var instances: Int?
        /// How far beat's own clock is ahead.
        package var clockSkew: Double?
        /// Nil where no lock is used.
        package var lock: Lock?
        package var lastTask: Double?
        package var nextDue: Double?
        package var entryCount: Int?
        package var disabledCount: Int?
        package var invalidCount: Int?
        /// Those with series of their own: late ones first, then by name.
        package var entries: [Entry] = []

        /// How late an entry may be before it counts as late: beat looks at its schedule no more often.
        var tolerance: Double { (maxLoopInterval ?? 0) + (grace ?? 0) }
    }

    package struct Lock: Equatable, Sendable {
        package var isHeld: Bool
        /// Seconds that were left when beat was looked at; nil when nobody holds it.
        package var timeToLive: Double?
        package var timeout: Double?
    }

    /// One entry of a schedule.
    package struct Entry: Equatable, Sendable {
        package enum State: String, Sendable {
            /// Switched off.
            case off
            /// Later than beat may be.
            case late
            /// Its time has come, and beat may still take a moment.
            case due
            case onTime = "on_time"
            /// It was due, and whether it was sent is not known yet.
            case unknown
        }

        package var name: String
        package var task: String
        package var state: State
        package var lastRun: Double?
        package var nextDue: Double?
        /// Seconds; nil when not known.
        package var overdue: Double?
        package var runs: Int?
    }

    package struct Queue: Equatable, Sendable {
        package var name: String
        package var messages: Int
    }

    /// Messages that workers hold.
    package struct Unacked: Equatable, Sendable {
        package var messages: Int
        package var oldest: Double?
        package var visibilityTimeout: Double?
    }

    /// A ratio over a window such as `5m`.
    package struct Ratio: Equatable, Sendable {
        package var window: String
        package var value: Double
    }

    package struct Task: Equatable, Sendable {
        package var name: String
        package var successRatios: [Ratio] = []
        package var inProgress = 0
    }

    package struct Pipeline: Equatable, Sendable {
        package var rootTask: String
        package var completionRatios: [Ratio] = []
        package var inProgress = 0
    }

    /// A worker, as the worker table has it.
    package struct Worker: Equatable, Sendable {
        package enum State: String, Sendable {
            case online
            /// It said that it is online, and nothing since.
            case silent
            case offline
        }

        package var name: String
        package var state: State
        package var heartbeat: Double?
        package var activeTasks: Int?
    }
}

extension ApplicationStatus {
    /// Whether beat is alive, all schedulers together.
    package enum Verdict: Equatable, Sendable {
        /// Every beat that is there is alive.
        case alive
        /// Every one that is there seems to be alive, but not all prove it.
        case uncertain
        /// One at least does not.
        case dead
        /// Nothing of one at least, which has to be there, was ever found.
        case notFound
        /// None is known to be dead, but not all can be judged.
        case unknown
        /// There is no sign of any.
        case none
        /// The first look has not ended.
        case pending
    }

    package var verdict: Verdict {
        if beats.contains(where: { $0.life == .dead }) { return .dead }
        if beats.contains(where: { $0.life == .notFound }) { return .notFound }
        let watchers = collectors.filter { Scheduler(rawValue: $0.name) != nil }
        if beats.isEmpty {
            if watchers.contains(where: { !$0.hasEnded }) { return .pending }
            return watchers.contains { !$0.isSuccess } ? .unknown : .none
        }
        if beats.allSatisfy({ $0.life == .alive }) { return .alive }
        if beats.allSatisfy({ $0.isUp == true }) { return .uncertain }
        return watchers.allSatisfy(\.hasEnded) ? .unknown : .pending
    }

    /// The same for programs: nil when nobody can tell.
    package var isActive: Bool? {
        switch verdict {
        case .alive, .uncertain: true
        case .dead, .notFound: false
        case .unknown, .none, .pending: nil
        }
    }

    /// Seconds the lock had left when beat was looked at; nil where nobody holds one.
    package var lockTimeToLive: Double? {
        beats.lazy.compactMap { $0.lock?.timeToLive }.first
    }
}

extension CollectorHealth {
    /// Why the last collection failed, in one line; nil when it did not.
    var errorText: String? { error?.description.bounded(Self.maximumErrorLength) }

    /// Characters of an error or a note that are told.
    static var maximumErrorLength: Int { 1000 }
}
