internal import Celery
internal import Configuration
internal import Redis
internal import Status

/// What a look at one beat says.
struct BeatFindings {
    let scheduler: Scheduler
    let target: Target
    let server: ServerState
    private let beat: ApplicationStatus.Beat
    /// When beat was looked at, by the clock of what tells of it.
    private let now: Double

    init(_ state: BeatState, of scheduler: Scheduler, target: Target, server: ServerState) {
        beat = ApplicationStatus.Beat(state, of: scheduler, maximumEntries: target.maximumEntrySeries)
        now = state.time
        self.scheduler = scheduler
        self.target = target
        self.server = server
    }

    var findings: [Finding] {
        [life, instances, schedule, overdue, clock].compactMap { $0 } + serverFindings
    }

    // MARK: Whether it lives

    private var life: Finding {
        switch beat.life {
        case .alive: finding(.ok, alive, [lock, started].compactMap(\.self))
        case .uncertain: finding(.warning, "beat seems to be alive, but that is not certain", guess, cause: .beat)
        case .unknown: unknown
        case .notFound: notFound
        case .dead: dead
        }
    }

    private var alive: String {
        let sign =
            switch scheduler {
            case .ping: "answers to \(target.pingPattern ?? "pings")"
            case .evidence: "its tasks run: the last \(ago(beat.heartbeat))"
            case .redbeat, .django: "alive: last sign of life \(ago(beat.heartbeat))"
            }
        return beat.deadline.map { "\(sign); the next is due by \(time($0))" } ?? sign
    }

    private var started: String? { beat.startTime.map { "started \(time($0))" } }

    /// The lock, where there is one to speak of.
    private var lock: String? {
        guard let lock = beat.lock else {
            return scheduler == .redbeat ? "lock off, as --redbeat.lock-key says" : nil
        }
        guard lock.isHeld, let left = lock.timeToLive else { return "no lock" }
        guard let timeout = lock.timeout else { return "lock held, \(span(left)) left" }
        let origin = target.redBeat.lockTimeout == nil ? "learnt" : "set"
        return "lock held, \(span(left)) left of \(span(timeout)) (\(origin))"
    }

    /// It is dead, or somewhere else: which of them is told when other places have been looked at.
    private var notFound: Finding {
        switch scheduler {
        case .django: finding(.failure, "no tables of django-celery-beat were found here", cause: .missingBeat)
        default:
            finding(
                .failure,
                "nothing of RedBeat was found under the prefix \(target.redBeat.keyPrefix)"
                    + (target.redBeatAddress.map { " in database \($0.database)" } ?? ""),
                cause: .missingBeat
            )
        }
    }

    private var dead: Finding {
        switch scheduler {
        case .ping:
            return finding(
                .failure,
                "no beat answers to \(target.pingPattern ?? "pings"): it is dead or hangs",
                [
                    "or it lacks beat_enable_remote_control, or its node has another name: --beat.ping",
                    "see beat's log",
                ],
                cause: .beat
            )
        case .evidence:
            return finding(
                .failure,
                "none of the expected tasks ran in time: \(missed)",
                signs + ["start beat, or workers if tasks wait in queues"],
                cause: .beat
            )
        case .django:
            let last = beat.heartbeat == nil ? "no sign of life since the check began" : missed
            return finding(
                .failure,
                "beat is dead, hung or cut off: \(last)",
                signs + ["end what is left of beat, and start it"],
                cause: .beat
            )
        case .redbeat: return deadRedBeat
        }
    }

    private var deadRedBeat: Finding {
        guard let key = target.redBeat.lockKey else {
            let steps = ["end what is left of beat, and start it"]
            return finding(.failure, "beat is dead, hung or cut off: \(missed)", signs + steps, cause: .beat)
        }
        guard let lock = beat.lock, lock.isHeld else {
            let steps = [
                "start beat",
                "if beat lives: it may have redbeat_lock_key = None, then set --redbeat.lock-key=none",
            ]
            let text = "no beat holds the lock \(key)\(beat.lastTask.map { "; last task sent \(ago($0))" } ?? "")"
            return finding(.failure, text, steps, cause: .beat)
        }
        let interval = beat.maxLoopInterval.map { ", now \(span($0))" } ?? ""
        return finding(
            .failure,
            "beat is dead, hung or cut off: \(missed)",
            signs + [
                "it left its lock, which \(lock.timeToLive.map { "ends in \(span($0))" } ?? "never ends"); "
                    + "the next beat waits for that",
                "end what is left of beat, then free the lock:",
                "\(Finding.command)\(redisCommand) DEL \(key)",
                "then start beat, also where one waits",
                "if beat lives: set --beat.max-loop-interval\(interval), as its beat_max_loop_interval",
            ],
            cause: .beat
        )
    }

    /// redis-cli for RedBeat's Redis, without the password.
    var redisCommand: String {
        target.redBeatAddress?.commandLine(orFor: "REDBEAT_URL") ?? "redis-cli -u REDBEAT_URL"
    }

    /// For how long a sign of life has been missing.
    private var missed: String {
        let last = "last sign of life \(ago(beat.heartbeat))"
        return beat.deadline.map { "\(last), next was due \(ago($0))" } ?? last
    }

    /// The same in times, for whoever compares them with a log.
    private var signs: [String] {
        guard let heartbeat = beat.heartbeat else { return lastTask.map { [$0] } ?? [] }
        // A lock's timeout that is learnt may be too short, and then the tick was earlier.
        let isBound = scheduler == .redbeat && target.redBeat.lockKey != nil && target.redBeat.lockTimeout == nil
        let last = "last sign of life \(time(heartbeat))\(isBound ? " at the latest" : "")"
        let due = beat.deadline.map { "next was due \(time($0)), grace \(span(beat.grace ?? 0))" }
        return [last] + [due, lastTask].compactMap(\.self)
    }

    private var lastTask: String? {
        beat.lastTask.map { "last task sent \(time($0)) (\(ago($0)))" }
    }

    private var unknown: Finding {
        switch scheduler {
        case .django where server.postgres?.isStandby == true:
            finding(
                .warning,
                "beat cannot be seen on a standby",
                ["give --database.url of the primary"],
                cause: .beat
            )
        case .evidence:
            finding(
                .warning,
                "none of the expected tasks has run, or been due for as long as the table knows",
                ["look again later"],
                cause: .beat
            )
        case .django, .redbeat, .ping:
            finding(
                .warning,
                "whether beat lives cannot be told yet",
                ["it may sleep for \(span(beat.maxLoopInterval ?? 0)): look again later"],
                cause: .beat
            )
        }
    }

    private var guess: [String] {
        let deadline = beat.deadline.map { time($0) } ?? "its next tick"
        guard scheduler == .redbeat, let lock, target.redBeat.lockKey != nil else {
            return ["look again after \(deadline)"]
        }
        return [
            "\(lock), but nothing tells when beat last extended it",
            "as Redis has saved its data since, or keeps no idle times",
            "set --redbeat.lock-timeout, or look again after \(deadline)",
        ]
    }

    private var instances: Finding? {
        guard let count = beat.instances, count > 1 else { return nil }
        return finding(
            .failure,
            "\(count) beats at once, and each sends every task",
            ["end all but one"],
            cause: .beat
        )
    }

    // MARK: The schedule

    private var schedule: Finding? {
        guard let entries = beat.entryCount, beat.life != .notFound else { return nil }
        if beat.hasEmptySchedule {
            return finding(
                .failure,
                "the schedule is empty, so nothing is sent",
                ["restart beat, which stores its own entries again, and store the rest"],
                cause: .beat
            )
        }
        var parts = ["\(entries) \(entries == 1 ? "entry" : "entries")"]
        for (count, word) in [(beat.disabledCount, "disabled"), (beat.invalidCount, "not readable")] {
            if let count, count > 0 { parts[0] += ", \(count) \(word)" }
        }
        if let due = beat.nextDue {
            parts.append(due > now ? "next due in \(span(due - now))" : "next due since \(time(due))")
        } else {
            parts.append("none is due again")
        }
        if let last = beat.lastTask { parts.append("last task sent \(ago(last))") }
        return finding(.ok, parts.joined(separator: "; "), notStored.map { [$0] } ?? [])
    }

    /// Entries that were due, of which beat has stored no run since.
    private var notStored: String? {
        let count = beat.entries.count { $0.state == .unknown }
        guard scheduler == .django, beat.isUp == true, count > 0 else { return nil }
        return "\(count) \(count == 1 ? "was" : "were") due before; beat stores runs every 3 minutes, and has not yet "
            + "stored whether it sent \(count == 1 ? "it" : "them")"
    }

    private var overdue: Finding? {
        let late = beat.lateEntries
        guard let worst = late.first else { return nil }
        return finding(
            .warning,
            "\(late.count) \(late.count == 1 ? "entry is" : "entries are") late, \(beat.title(of: worst)) by "
                + span(worst.overdue ?? 0),
            ["see beat's log for why it is not sent"]
        )
    }

    private var clock: Finding? {
        guard let skew = beat.harmfulClockSkew else { return nil }
        let side = skew > 0 ? "ahead of" : "behind"
        return finding(
            .warning,
            "beat's clock is \(span(skew)) or more \(side) that of \(scheduler == .redbeat ? "Redis" : "PostgreSQL")",
            ["set the clocks of their machines right: chrony, systemd-timesyncd"],
            cause: .clock
        )
    }

    // MARK: Words

    func finding(
        _ level: Finding.Level,
        _ text: String,
        _ details: [String] = [],
        cause: Finding.Cause = .other
    ) -> Finding {
        Finding(level, scheduler.rawValue, text, details, cause: cause)
    }

    private func span(_ seconds: Double) -> String { PrometheusDuration.text(seconds: seconds) }

    private func time(_ moment: Double) -> String {
        guard moment.magnitude < 1e11 else { return "never" }
        return UTCTime.text(Int(moment), "%Y-%m-%d %H:%M:%S UTC")
    }

    private func ago(_ moment: Double?) -> String {
        moment.map { "\(span(max(0, now - $0))) ago" } ?? "unknown"
    }
}
