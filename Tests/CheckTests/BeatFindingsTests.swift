import Collection
import Configuration
import Reading
import Redis
import Status
import Testing

@testable import Celery
@testable import Check
@testable import Watching

/// What is said of beats, in a state of which everything is well but what a test changes.
@Suite struct BeatFindingsTests {
    /// 2026-11-21 10:00:00 UTC.
    private static let now = 1_795_255_200.0

    private var redBeat: BeatState {
        BeatState(
            time: Self.now,
            isUp: true,
            heartbeat: Self.now - 2,
            deadline: Self.now + 8,
            lock: LockState(isHeld: true, timeToLive: 1498, timeout: 1500, acquisitions: 0),
            startTime: Self.now - 86_400,
            instances: 1,
            maxLoopInterval: 300,
            grace: 2,
            clockSkew: 0,
            schedule: ScheduleState(
                entries: [entry("a", overdue: 0)],
                entryCount: 12,
                disabledCount: 1,
                invalidCount: 0,
                nextDue: Self.now + 8,
                lastTaskTime: Self.now - 60
            )
        )
    }

    private func entry(_ name: String, overdue: Double) -> BeatEntryState {
        BeatEntryState(name: name, task: "t", isEnabled: true, lastRun: nil, nextDue: nil, overdue: overdue, runs: 0)
    }

    private func findings(
        _ scheduler: Scheduler,
        _ state: BeatState,
        target: Target = Target(),
        server: ServerState = .redis(RedisServerState(version: "Redis 7.0.15", roundTrip: .zero)),
        isNowhere: Bool = false
    ) -> [String] {
        var state = state
        state.isNowhere = isNowhere
        var health = CollectorHealth(name: scheduler.rawValue, source: "s")
        health.note(.success(Reading(state, isPreliminary: state.isPreliminary)), at: Self.now)
        var snapshot = Snapshot(collectors: [health])
        snapshot.states.beats[scheduler] = state
        let status = ApplicationStatus(of: target, named: nil, snapshot, search: nil, at: Self.now)
        let found =
            status.problems.map(Finding.init) + status.beats.flatMap { BeatFacts($0, status.settings).findings }
            + ServerAdvice(target: target, server: server).findings(for: scheduler.rawValue)
        #expect(found.allSatisfy { $0.subject == scheduler.rawValue })
        return found.map { (["\($0.level.rawValue) \($0.text)"] + $0.details).joined(separator: "\n") }
    }

    private static let schedule = "ok 12 entries, 1 disabled; next due in 8 s; last task sent 1 min ago"

    @Test func allIsWell() {
        let life = """
            ok alive: last sign of life 2 s ago; the next is due by 2026-11-21 10:00:08 UTC
            lock held, 24 min left of 25 min (learnt)
            started 2026-11-20 10:00:00 UTC
            """
        #expect(findings(.redbeat, redBeat) == [life, Self.schedule])
    }

    @Test func aDeadBeatWithItsLock() throws {
        var state = redBeat
        state.isUp = false
        state.heartbeat = Self.now - 310
        state.deadline = Self.now - 300
        state.lock?.timeToLive = 1190
        let life = """
            FAIL beat is dead, hung or cut off: last sign of life 5 min 10 s ago, next was due 5 min ago
            last sign of life 2026-11-21 09:54:50 UTC at the latest
            next was due 2026-11-21 09:55:00 UTC, grace 2 s
            last task sent 2026-11-21 09:59:00 UTC (1 min ago)
            it left its lock, which ends in 19 min; the next beat waits for that
            end what is left of beat, then free the lock:
            run: redis-cli --askpass -u redis://cache:6379/2 DEL shop:lock
            then start beat, also where one waits
            if beat is alive: set --beat.max-loop-interval, now 300s, as its beat_max_loop_interval
            """
        var target = Target()
        target.redBeatAddress = try RedisAddress(url: "redis://:secret@cache:6379/2")
        target.redBeat.keyPrefix = "shop"
        #expect(findings(.redbeat, state, target: target) == [life, Self.schedule])
        target.redBeatAddress = try RedisAddress(url: "redis://me:secret@cache:6379/2")
        #expect(
            findings(.redbeat, state, target: target)[0].contains(
                "redis-cli --user me --askpass -u redis://cache:6379/2 DEL"
            )
        )
        state.lock?.timeToLive = nil
        #expect(findings(.redbeat, state)[0].contains("it left its lock, which never ends;"))
        target.redBeat.lock = .off
        state.lock = nil
        #expect(findings(.redbeat, state, target: target)[0].hasSuffix("\nend what is left of beat, and start it"))
    }

    @Test func noLockAndNoEntries() {
        var state = redBeat
        state.isUp = false
        state.lock = LockState(isHeld: false, timeToLive: nil, timeout: nil, acquisitions: 0)
        state.schedule?.entryCount = 0
        #expect(
            findings(.redbeat, state) == [
                """
                FAIL no beat holds the lock redbeat::lock; last task sent 1 min ago
                start beat; in a deploy this lasts a moment
                if beat is alive: it may have redbeat_lock_key = None, then set --redbeat.lock-key=none
                """,
                """
                FAIL the schedule is empty, so nothing is sent
                restart beat, which stores its own entries again, and restore the rest from a backup
                """,
            ]
        )
    }

    @Test func whatWasNeverThereIsNotCalledDead() throws {
        var state = redBeat
        state.isUp = false
        state.heartbeat = nil
        state.lock = LockState(isHeld: false, timeToLive: nil, timeout: nil, acquisitions: 0)
        state.schedule?.entryCount = 0
        var target = Target()
        target.redBeatAddress = try RedisAddress(url: "redis://cache:6379/2")
        let start = "start beat, or correct the settings that say where it is"
        let found = findings(.redbeat, state, target: target, isNowhere: true)
        #expect(found == ["FAIL nothing of RedBeat was found under the prefix redbeat: in database 2\n\(start)"])
        #expect(
            findings(.django, state, isNowhere: true) == [
                "FAIL no tables of django-celery-beat were found here\n\(start)"
            ]
        )
    }

    @Test func aLockOfWhichNothingTellsWhenItWasExtended() {
        var state = redBeat
        state.isPreliminary = true
        let life = """
            warn beat seems to be alive, but that is not certain
            lock held, 24 min left of 25 min (learnt), but nothing tells when beat last extended it
            as Redis has saved its data since, or keeps no idle times
            set --redbeat.lock-timeout, or look again after 2026-11-21 10:00:08 UTC
            """
        #expect(findings(.redbeat, state) == [life, Self.schedule])
    }

    @Test func lateEntriesAndClocksThatDiffer() {
        var state = redBeat
        state.schedule?.entries = [
            entry("in time", overdue: 302), entry("a", overdue: 400), entry("b", overdue: 90_000),
        ]
        state.clockSkew = -3.5
        let late = "warn 2 entries are late: b by 1 d 1 h, a by 6 min 40 s\nsee beat's log for why it is not sent"
        let clock = """
            warn beat's clock is 3 s or more behind that of Redis
            set the clocks of their machines right: chrony, systemd-timesyncd
            """
        #expect(findings(.redbeat, state)[..<2] == [clock, late])
        // As on the page: what is within the grace does no harm.
        state.clockSkew = 1.5
        #expect(findings(.redbeat, state)[..<1] == [late])
        // A dead beat is what is wrong with them.
        state.isUp = false
        #expect(!findings(.redbeat, state).contains { $0.contains("are late") })
    }

    @Test func aRedisThatEvictsOrKeepsNoIdleTimes() {
        var redis = RedisServerState(version: nil, roundTrip: .zero)
        redis.evictionPolicy = "volatile-lfu"
        let idle = """
            warn under volatile-lfu Redis keeps no idle times
            a beat that died before the exporter started is known late
            set --redbeat.lock-timeout
            """
        #expect(findings(.redbeat, redBeat, server: .redis(redis))[2...] == [idle])
        redis.maximumMemory = 1
        let eviction = """
            warn Redis may evict redbeat::lock when its memory is full (volatile-lfu)
            beat ends when it loses its lock
            run: redis-cli -u REDBEAT_URL CONFIG SET maxmemory-policy noeviction
            """
        #expect(findings(.redbeat, redBeat, server: .redis(redis))[2...] == [eviction, idle])
        var target = Target()
        target.redBeat.lockTimeout = 1500
        #expect(findings(.redbeat, redBeat, target: target, server: .redis(redis))[2...] == [eviction])
        // Without a lock there is none to lose.
        target.redBeat.lock = .off
        #expect(findings(.redbeat, redBeat, target: target, server: .redis(redis)).count == 2)
        #expect(!redis.evictsQueues)
        redis.evictionPolicy = "allkeys-random"
        #expect(redis.evictsQueues && redis.evictsLocks && !redis.lacksIdleTimes)
        redis.evictionPolicy = "noeviction"
        #expect(!redis.evictsQueues && !redis.evictsLocks)
    }

    @Test func aDatabaseScheduler() {
        let server = PostgresServerState(version: "15", roundTrip: .zero, role: #""the role""#, hiddenSessions: 3)
        var state = redBeat
        state.lock = nil
        state.startTime = nil
        state.clockSkew = nil
        state.instances = 2
        state.maxLoopInterval = 5
        #expect(
            findings(.django, state, server: .postgres(server)) == [
                "FAIL 2 beats at once, and each sends every task\nend all but one; in a rolling deploy this lasts a moment",
                "ok alive: last sign of life 2 s ago; the next is due by 2026-11-21 10:00:08 UTC", Self.schedule,
                #"""
                warn "the role" may not see what sessions of other roles do
                so beats are not counted, and a dead one is known 10 s later
                run: GRANT pg_read_all_stats TO "the role"
                """#,
            ]
        )
        let seeing = ServerState.postgres(PostgresServerState(version: "15", roundTrip: .zero, role: "r"))
        state.instances = 0
        state.isUp = nil
        state.isPreliminary = true
        state.heartbeat = nil
        #expect(
            findings(.django, state, server: seeing)[0]
                == "warn whether beat is alive cannot be told yet\nit may sleep for 5 s: look again later"
        )
        state.isUp = false
        state.isPreliminary = false
        #expect(
            findings(.django, state, server: seeing)[0] == """
                FAIL beat is dead, hung or cut off: no sign of life was seen
                last task sent 2026-11-21 09:59:00 UTC (1 min ago)
                end what is left of beat, and start it
                """
        )
    }

    @Test func beatsWithoutATrace() {
        var target = Target()
        target.pingPattern = "celerybeat@*"
        var ping = BeatState(time: Self.now, isUp: true, heartbeat: Self.now, deadline: Self.now + 12, grace: 2)
        #expect(
            findings(.ping, ping, target: target) == [
                "ok answers to celerybeat@*; the next is due by 2026-11-21 10:00:12 UTC"
            ]
        )
        ping.isUp = false
        #expect(
            findings(.ping, ping, target: target) == [
                """
                FAIL no beat answers to celerybeat@*: it is dead or hangs, or does not hear the broker
                or it lacks beat_enable_remote_control, or its node has another name: --beat.ping
                see beat's log
                """
            ]
        )
        var evidence = BeatState(time: Self.now, isUp: true, heartbeat: Self.now - 60, deadline: Self.now + 8, grace: 2)
        #expect(
            findings(.evidence, evidence) == [
                "ok its tasks run: the last 1 min ago; the next is due by 2026-11-21 10:00:08 UTC"
            ]
        )
        evidence.isUp = false
        evidence.deadline = Self.now - 10
        #expect(
            findings(.evidence, evidence) == [
                """
                FAIL none of the expected tasks ran in time: last sign of life 1 min ago, next was due 10 s ago
                last sign of life 2026-11-21 09:59:00 UTC
                next was due 2026-11-21 09:59:50 UTC, grace 2 s
                start beat, or workers if tasks wait in queues
                """
            ]
        )
    }

    @Test func timesBeyondEveryCalendar() {
        var state = redBeat
        state.deadline = 1e300
        state.schedule?.nextDue = -1e300
        state.schedule?.lastTaskTime = .infinity
        #expect(
            findings(.redbeat, state)[1]
                == "ok 12 entries, 1 disabled; next due since never; last task sent 0 s ago"
        )
    }
}
