internal import Celery
internal import Collection

/// What is wrong with one beat, and what to do.
struct BeatDiagnosis {
    private let beat: ApplicationStatus.Beat
    private let settings: BeatSettings
    private let search: BeatSearch?
    /// How its reader fares.
    private let collector: CollectorHealth?

    init(
        _ beat: ApplicationStatus.Beat,
        settings: BeatSettings,
        search: BeatSearch?,
        collector: CollectorHealth?
    ) {
        self.beat = beat
        self.settings = settings
        self.search = search
        self.collector = collector
    }

    /// In the order of what follows from what.
    var problems: [Problem] {
        [life, instances, schedule, clock, entries, unreadable].compactMap(\.self)
    }

    // MARK: Whether it is alive

    private var life: Problem? {
        switch beat.life {
        case .alive: nil
        case .uncertain: problem(.warning, "beat seems to be alive, but that is not certain", guess)
        case .unknown: unknown
        case .notFound: notFound
        case .dead: dead
        }
    }

    private var guess: [String] {
        let deadline = beat.deadline.flatMap { time($0) } ?? "its next tick"
        guard beat.scheduler == .redbeat, let lock = beat.lock?.words(settings), settings.lockKey != nil else {
            return ["look again after \(deadline)"]
        }
        return [
            "\(lock), but nothing tells when beat last extended it",
            "as Redis has saved its data since, or keeps no idle times",
            "set --redbeat.lock-timeout, or look again after \(deadline)",
        ]
    }

    /// Where its source fails, or the reader has told why it cannot see beat, that is the problem.
    private var unknown: Problem? {
        guard let collector, collector.isSuccess else { return nil }
        guard beat.scheduler != .evidence else {
            return problem(
                .warning,
                "none of the expected tasks has run, or been due for as long as the table knows",
                ["look again later"]
            )
        }
        guard beat.isPreliminary || collector.notes.isEmpty else { return nil }
        let sleep = beat.maxLoopInterval.map { "it may sleep for \(TimeText.duration($0)): " } ?? ""
        return problem(.warning, "whether beat is alive cannot be told yet", ["\(sleep)look again later"])
    }

    /// It is dead, or somewhere else.
    private var notFound: Problem {
        let text =
            beat.scheduler == .django
            ? "no tables of django-celery-beat were found here"
            : "nothing of RedBeat was found under the prefix \(settings.keyPrefix)"
                + (settings.database.map { " in database \($0)" } ?? "")
        var details = search?.lines ?? []
        if details.isEmpty || search?.places.isEmpty == true {
            details.append("start beat, or correct the settings that say where it is")
        }
        return problem(
            .critical,
            text,
            details,
            cause: .missingBeat,
            alert: beat.lock == nil ? "CeleryBeatOverdueWithoutLock" : "CeleryBeatLockMissing"
        )
    }

    private var dead: Problem {
        switch beat.scheduler {
        case .ping:
            problem(
                .critical,
                "no beat answers to \(settings.pingPattern ?? "pings"): it is dead or hangs, or does not hear the broker",
                [
                    "or it lacks beat_enable_remote_control, or its node has another name: --beat.ping",
                    "see beat's log",
                ],
                alert: "CeleryBeatOverdueWithoutLock"
            )
        case .evidence:
            problem(
                .critical,
                "none of the expected tasks ran in time: \(missed)",
                signs + ["start beat, or workers if tasks wait in queues"],
                alert: "CeleryBeatOverdueWithoutLock"
            )
        case .redbeat: deadRedBeat
        case .django: deadWithoutLock
        }
    }

    private var deadWithoutLock: Problem {
        problem(
            .critical,
            "beat is dead, hung or cut off: \(beat.heartbeat == nil ? "no sign of life was seen" : missed)",
            signs + ["end what is left of beat, and start it"],
            alert: "CeleryBeatOverdueWithoutLock"
        )
    }

    private var deadRedBeat: Problem {
        guard let key = settings.lockKey, let lock = beat.lock else { return deadWithoutLock }
        guard lock.isHeld else {
            let last = beat.lastTask.map { "; last task sent \(ago($0))" } ?? ""
            return problem(
                .critical,
                "no beat holds the lock \(key)\(last)",
                [
                    "start beat; in a deploy this lasts a moment",
                    "if beat is alive: it may have redbeat_lock_key = None, then set --redbeat.lock-key=none",
                ],
                alert: "CeleryBeatLockMissing"
            )
        }
        let end = lock.timeToLive(of: beat).map { "ends in \(TimeText.duration($0))" } ?? "never ends"
        // As the flag takes it.
        let interval = beat.maxLoopInterval.flatMap { Int(exactly: $0.rounded()) }.map { ", now \($0)s" } ?? ""
        return problem(
            .critical,
            "beat is dead, hung or cut off: \(missed)",
            signs + [
                "it left its lock, which \(end); the next beat waits for that",
                "end what is left of beat, then free the lock:",
                "\(Problem.command)\(settings.redisCommand) DEL \(key)",
                "then start beat, also where one waits",
                "if beat is alive: set --beat.max-loop-interval\(interval), as its beat_max_loop_interval",
            ],
            alert: "CeleryBeatOverdue"
        )
    }

    /// For how long a sign of life has been missing.
    private var missed: String {
        let last = "last sign of life \(beat.heartbeat.map(ago) ?? "unknown")"
        return beat.deadline.map { "\(last), next was due \(ago($0))" } ?? last
    }

    /// The same in times, for whoever compares them with a log.
    private var signs: [String] {
        guard let heartbeat = beat.heartbeat else { return [lastTask].compactMap(\.self) }
        // A lock's timeout that is learnt may be too short, and then the tick was earlier.
        let isBound = beat.scheduler == .redbeat && beat.lock != nil && !settings.isLockTimeoutSet
        let last = time(heartbeat).map { "last sign of life \($0)\(isBound ? " at the latest" : "")" }
        let due = beat.deadline.flatMap { time($0) }
            .map { "next was due \($0), grace \(TimeText.duration(beat.grace ?? 0))" }
        return [last, due, lastTask].compactMap(\.self)
    }

    private var lastTask: String? {
        beat.lastTask.flatMap { moment in time(moment).map { "last task sent \($0) (\(ago(moment)))" } }
    }

    private var instances: Problem? {
        guard let count = beat.instances, count > 1 else { return nil }
        return problem(
            .critical,
            "\(count) beats at once, and each sends every task",
            ["end all but one; in a rolling deploy this lasts a moment"],
            alert: "CeleryBeatDuplicated"
        )
    }

    // MARK: The schedule

    private var schedule: Problem? {
        guard beat.hasEmptySchedule else { return nil }
        return problem(
            .critical,
            "the schedule is empty, so nothing is sent",
            ["restart beat, which stores its own entries again, and restore the rest from a backup"],
            alert: "CeleryBeatScheduleEmpty"
        )
    }

    private var entries: Problem? {
        let late = beat.lateEntries
        guard !late.isEmpty else { return nil }
        let names = late.prefix(ApplicationStatus.maximumListed).map {
            "\(beat.title(of: $0)) by \(TimeText.duration($0.overdue ?? 0))"
        }
        return problem(
            .warning,
            "\(late.count) \(late.count == 1 ? "entry is" : "entries are") late: "
                + ApplicationStatus.list(names, of: late.count),
            ["see beat's log for why it is not sent"],
            cause: .other,
            alert: "CeleryBeatEntryOverdue"
        )
    }

    /// How many: the reader names each once.
    private var unreadable: Problem? {
        guard let count = beat.invalidCount, count > 0 else { return nil }
        return problem(
            .warning,
            "\(count) \(count == 1 ? "entry" : "entries") cannot be read",
            ["the exporter's log names them: save them anew, or delete them"],
            cause: .other
        )
    }

    private var clock: Problem? {
        guard let skew = beat.harmfulClockSkew else { return nil }
        let server = beat.scheduler == .redbeat ? "Redis" : "PostgreSQL"
        return problem(
            .warning,
            "beat's clock is \(TimeText.duration(skew.magnitude)) or more \(skew > 0 ? "ahead of" : "behind") that of "
                + server,
            ["set the clocks of their machines right: chrony, systemd-timesyncd"],
            cause: .clock,
            alert: "CeleryClockSkew"
        )
    }

    // MARK: Words

    private func problem(
        _ severity: Problem.Severity,
        _ text: String,
        _ details: [String],
        cause: Problem.Cause = .beat,
        alert: String? = nil
    ) -> Problem {
        Problem(severity, beat.scheduler.rawValue, text, details, cause: cause, alert: alert)
    }

    private func time(_ moment: Double) -> String? { ApplicationStatus.Beat.time(moment) }

    private func ago(_ moment: Double) -> String { beat.ago(moment) }
}

extension ApplicationStatus.Beat {
    /// A time in words, with its date; nil for what no calendar has.
    package static func time(_ moment: Double) -> String? { TimeText.utc(moment).map { "\($0) UTC" } }

    /// How long before now a moment was, as `5 min ago`.
    package func ago(_ moment: Double) -> String { "\(TimeText.duration(max(0, now - moment))) ago" }
}

extension ApplicationStatus.Lock {
    /// What is left of it now; nil where it has no end.
    fileprivate func timeToLive(of beat: ApplicationStatus.Beat) -> Double? {
        timeToLive.map { max(0, $0 - (beat.now - (beat.observed ?? beat.now))) }
    }

    /// As `lock held, 24 s left of 25 s (learnt)`.
    package func words(_ settings: BeatSettings) -> String {
        guard isHeld, let left = timeToLive else { return "no lock" }
        let held = "lock held, \(TimeText.duration(left)) left"
        guard let timeout else { return held }
        return "\(held) of \(TimeText.duration(timeout)) (\(settings.isLockTimeoutSet ? "set" : "learnt"))"
    }
}
