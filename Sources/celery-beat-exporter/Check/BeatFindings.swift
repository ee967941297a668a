internal import Celery
internal import Collection
internal import Redis

/// What a look at one beat says.
struct BeatFindings {
    private let scheduler: Scheduler
    private let target: Target
    private let server: ServerState
    private let isPreliminary: Bool
    private let metrics: MetricValues
    /// When beat was looked at, by the clock of what tells of it.
    private let now: Double

    /// - Returns: nil while nothing tells that the scheduler is in use.
    init?(_ collected: Collected, of scheduler: Scheduler, target: Target, server: ServerState) {
        metrics = MetricValues(collected.families)
        guard let now = metrics["celery_beat_observed_timestamp_seconds"] else { return nil }
        self.now = now
        self.scheduler = scheduler
        self.target = target
        self.server = server
        isPreliminary = collected.isPreliminary
    }

    var findings: [Finding] {
        [life, instances, schedule, overdue, clock].compactMap { $0 } + serverFindings
    }

    // MARK: Whether it lives

    private var life: Finding {
        guard let up = metrics["celery_beat_up"] else { return finding(.warning, unknown) }
        if up == 0 { return finding(.failure, dead) }
        if isPreliminary { return finding(.warning, guess) }
        return finding(.ok, alive)
    }

    private var alive: String {
        var parts: [String] = []
        switch scheduler {
        case .ping:
            parts.append("answers to \(target.pingPattern ?? "pings")")
        case .evidence:
            parts.append("its tasks run: the last \(ago(heartbeat))")
        case .redbeat, .django:
            parts.append("alive: last sign of life \(ago(heartbeat))")
        }
        if let deadline { parts.append("the next is due by \(time(deadline))") }
        parts += [lock].compactMap { $0 }
        if let start = metrics["celery_beat_start_time_seconds"] { parts.append("started \(time(start))") }
        return parts.joined(separator: "; ")
    }

    /// The lock, where there is one to speak of.
    private var lock: String? {
        guard let held = metrics["celery_beat_lock_held"] else {
            return scheduler == .redbeat ? "lock off, as --redbeat.lock-key says" : nil
        }
        guard held == 1, let left = metrics["celery_beat_lock_ttl_seconds"] else { return "no lock" }
        guard let timeout = metrics["celery_beat_lock_timeout_seconds"] else { return "lock held, \(span(left)) left" }
        let origin = target.redBeat.lockTimeout == nil ? "learnt" : "set"
        return "lock held, \(span(left)) left of \(span(timeout)) (\(origin))"
    }

    private var dead: String {
        switch scheduler {
        case .ping:
            return
                "no beat answers to \(target.pingPattern ?? "pings"): it is dead or hangs, lacks beat_enable_remote_control, "
                + "or its node has another name; see beat's log and --beat.ping"
        case .evidence:
            return
                "none of the expected tasks ran in time: \(missed); start beat, or the workers if tasks wait in queues"
        case .django:
            let last = heartbeat == nil ? "no sign of life since the check began" : missed
            return "dead, hung or cut off: \(last)\(lastTask); end what is left of beat and start it"
        case .redbeat:
            return deadRedBeat
        }
    }

    private var deadRedBeat: String {
        guard let key = target.redBeat.lockKey else {
            return "dead, hung or cut off: \(missed)\(lastTask); end what is left of beat and start it"
        }
        guard metrics["celery_beat_lock_held"] == 1 else {
            return
                "no lock \(key), so no beat works\(lastTask); start beat, or where it lives and redbeat_lock_key is None "
                + "set --redbeat.lock-key none"
        }
        let left = metrics["celery_beat_lock_ttl_seconds"].flatMap { $0 > 0 ? $0 : nil }
        let wait = left.map { "which ends in \(span($0))" } ?? "which never ends"
        let interval = metrics["celery_beat_max_loop_interval_seconds"].map { ", \(span($0))" } ?? ""
        return
            "dead, hung or cut off: \(missed)\(lastTask); it left its lock, \(wait), and the next beat waits for that; "
            + "if it lives, its beat_max_loop_interval is more than --beat.max-loop-interval\(interval); "
            + "if not, end what is left of it, run: \(redisCommand) DEL \(key), "
            + "and start it, also where one waits"
    }

    /// redis-cli for RedBeat's Redis, without the password.
    private var redisCommand: String {
        guard let address = target.redBeatAddress, case .single(.tcp) = address.servers else {
            return "redis-cli -u REDBEAT_URL"
        }
        let user = address.user.map { "--user \($0) " } ?? ""
        return "redis-cli \(user)\(address.password == nil ? "" : "--askpass ")-u \(address.redacted)"
    }

    /// When a sign of life should have come, and since when there is none.
    private var missed: String {
        // A lock's timeout that is learnt may be too short, and then the tick was earlier.
        let isBound = scheduler == .redbeat && target.redBeat.lockKey != nil && target.redBeat.lockTimeout == nil
        let last = "last sign of life \(moment(heartbeat))\(isBound ? " at the latest" : "")"
        guard let deadline else { return last }
        let grace = metrics["celery_beat_grace_seconds"] ?? 0
        return "\(last), the next was due by \(moment(deadline)), grace \(span(grace))"
    }

    private var lastTask: String {
        metrics["celery_beat_last_task_time"].map { "; last task sent \(moment($0))" } ?? ""
    }

    private var unknown: String {
        switch scheduler {
        case .django where server.postgres?.isStandby == true:
            return "beat cannot be seen on a standby; give --database.url of the primary"
        case .evidence:
            return
                "none of the expected tasks has run, and none has been due for as long as the table knows; look again later"
        case .django, .redbeat, .ping:
            let interval = metrics["celery_beat_max_loop_interval_seconds"] ?? 0
            return "whether beat lives cannot be told yet: it may sleep for \(span(interval)); look again later"
        }
    }

    private var guess: String {
        let deadline = deadline.map { time($0) } ?? "its next tick"
        guard scheduler == .redbeat, let lock, target.redBeat.lockKey != nil else {
            return "whether beat lives is not certain yet; look again after \(deadline)"
        }
        return
            "\(lock), but whether beat lives is not certain: nothing tells when it last ticked, as Redis has saved its "
            + "data since or keeps no idle times; set --redbeat.lock-timeout, or look again after \(deadline)"
    }

    private var instances: Finding? {
        guard let count = metrics["celery_beat_instances"], count > 1 else { return nil }
        return finding(.failure, "\(Int(count)) beats at once, and each sends every task; end all but one")
    }

    // MARK: The schedule

    private var schedule: Finding? {
        guard let entries = metrics["celery_beat_schedule_entries"] else { return nil }
        guard entries > 0 else {
            return finding(
                .failure,
                "the schedule is empty, so nothing is sent; restart beat, which stores its own entries again, and store the rest"
            )
        }
        var parts = ["\(Int(entries)) \(entries == 1 ? "entry" : "entries")"]
        for (name, word) in [("disabled", "disabled"), ("invalid", "not readable")] {
            let count = metrics["celery_beat_schedule_\(name)_entries"] ?? 0
            if count > 0 { parts[0] += ", \(Int(count)) \(word)" }
        }
        if let due = metrics["celery_beat_schedule_next_due_timestamp_seconds"] {
            parts.append(due > now ? "next due in \(span(due - now))" : "next due since \(time(due))")
        } else {
            parts.append("none is due again")
        }
        if let last = metrics["celery_beat_last_task_time"] { parts.append("last task sent \(ago(last))") }
        if let notStored { parts.append(notStored) }
        return finding(.ok, parts.joined(separator: "; "))
    }

    /// Entries that were due, of which beat has stored no run since.
    private var notStored: String? {
        guard scheduler == .django, metrics["celery_beat_up"] == 1 else { return nil }
        let told = metrics.values("celery_beat_entry_overdue_seconds", by: "entry").count
        let count = metrics.values("celery_beat_entry_enabled", by: "entry").count - told
        guard count > 0 else { return nil }
        return "\(count) \(count == 1 ? "was" : "were") due before, and beat, which stores runs every 3 minutes, "
            + "has not stored yet whether it sent \(count == 1 ? "it" : "them")"
    }

    /// Entries that a living beat does not send; of a dead one all are late.
    private var overdue: Finding? {
        guard metrics["celery_beat_up"] == 1 else { return nil }
        let patience =
            (metrics["celery_beat_max_loop_interval_seconds"] ?? 0) + (metrics["celery_beat_grace_seconds"] ?? 0)
        let late = metrics.values("celery_beat_entry_overdue_seconds", by: "entry").filter { $0.value > patience }
        guard let worst = late.max(by: { $0.value < $1.value }) else { return nil }
        return finding(
            .warning,
            "\(late.count) \(late.count == 1 ? "entry is" : "entries are") late, \(worst.label) by \(span(worst.value)); "
                + "see beat's log for why it is not sent"
        )
    }

    private var clock: Finding? {
        guard let skew = metrics["celery_beat_clock_skew_seconds"], skew != 0 else { return nil }
        let side = skew > 0 ? "ahead of" : "behind"
        return finding(
            .warning,
            "beat's clock is \(span(skew)) or more \(side) Redis's; mend the time of their machines"
        )
    }

    // MARK: What its server does to it

    private var serverFindings: [Finding] {
        var findings: [Finding] = []
        if let redis = server.redis, scheduler == .redbeat, let key = target.redBeat.lockKey {
            if redis.evictsLocks, let policy = redis.evictionPolicy {
                findings.append(
                    finding(
                        .warning,
                        "Redis may evict \(key) when its memory is full (\(policy)), and beat ends when it loses it; "
                            + "run: \(redisCommand) CONFIG SET maxmemory-policy noeviction"
                    )
                )
            }
            if redis.lacksIdleTimes, target.redBeat.lockTimeout == nil {
                let policy = redis.evictionPolicy ?? "LFU"
                findings.append(
                    finding(
                        .warning,
                        "under \(policy) Redis keeps no idle times, so a beat that died before the exporter started is known "
                            + "late; set --redbeat.lock-timeout"
                    )
                )
            }
        }
        if let postgres = server.postgres, scheduler == .django, postgres.hiddenSessions > 0 {
            findings.append(
                finding(
                    .warning,
                    "\(postgres.role) may not see what sessions of other roles do, so beats are not counted and a dead one is "
                        + "known 10s later; run: GRANT pg_read_all_stats TO \(postgres.role)"
                )
            )
        }
        return findings
    }

    // MARK: Words

    private var heartbeat: Double? { metrics["celery_beat_scheduler_heartbeat"] }
    private var deadline: Double? { metrics["celery_beat_deadline_timestamp_seconds"] }

    private func finding(_ level: Finding.Level, _ text: String) -> Finding {
        Finding(level, scheduler.rawValue, text)
    }

    private func span(_ seconds: Double) -> String { PrometheusDuration.text(seconds: seconds) }

    private func time(_ moment: Double) -> String {
        guard moment.magnitude < 1e11 else { return "never" }
        return UTCTime.text(Int(moment), "%Y-%m-%d %H:%M:%S UTC")
    }

    private func ago(_ moment: Double?) -> String {
        moment.map { "\(span(max(0, now - $0))) ago" } ?? "unknown"
    }

    private func moment(_ moment: Double?) -> String {
        guard let moment else { return "unknown" }
        return "\(time(moment)) (\(ago(moment)))"
    }
}
