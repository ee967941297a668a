import Collection
import Testing

@testable import Celery
@testable import Status

@Suite struct ProblemTests {
    private static let redis = Samples.reading("redbeat", "redbeat")

    /// The problems, each as its severity, its alert and its text.
    private func problems(
        _ beats: [Scheduler: BeatState],
        _ collectors: [CollectorHealth] = [redis]
    ) -> [String] {
        problems(Samples.states { $0.beats = beats }, collectors)
    }

    private func problems(_ states: ObservedStates, _ collectors: [CollectorHealth]) -> [String] {
        Samples.status(states, collectors).problems.map { "\($0.severity) \($0.alert ?? "-"): \($0.text)" }
    }

    @Test func whereAllIsWellThereAreNone() {
        #expect(problems([.redbeat: Samples.beat(isUp: true)]) == [])
    }

    @Test func aDeadBeat() {
        func dead(_ scheduler: Scheduler, _ lock: LockState? = nil) -> [String] {
            problems(
                [scheduler: Samples.beat(isUp: false) { $0.lock = lock }],
                [Samples.reading(scheduler.rawValue, "redbeat")]
            )
        }
        #expect(
            dead(.redbeat, Samples.lock(isHeld: true, timeToLive: 724)) == [
                "critical CeleryBeatOverdue: The beat of redbeat is dead, hangs or is cut off. "
                    + "Its lock keeps others out for another 12 min."
            ]
        )
        #expect(
            dead(.redbeat, Samples.lock(isHeld: true)) == [
                "critical CeleryBeatOverdue: The beat of redbeat is dead, hangs or is cut off. "
                    + "Its lock keeps others out until somebody deletes it."
            ]
        )
        #expect(
            dead(.redbeat, Samples.lock(isHeld: false)) == [
                "critical CeleryBeatLockMissing: No beat of redbeat holds the lock, so none sends periodic tasks."
            ]
        )
        #expect(
            dead(.django) == [
                "critical CeleryBeatOverdueWithoutLock: The beat of django has missed its deadline: "
                    + "it is dead, hangs or is cut off."
            ]
        )
        #expect(
            dead(.evidence) == [
                "critical CeleryBeatOverdueWithoutLock: None of the tasks that beat should send is seen to run: "
                    + "it does not send them, or no worker runs them."
            ]
        )
        #expect(
            dead(.ping) == [
                "critical CeleryBeatOverdueWithoutLock: No beat answers pings: it is dead or hangs, or does not hear the broker."
            ]
        )
    }

    @Test func aBeatThatIsNotJudgedYet() {
        #expect(
            problems([.redbeat: Samples.beat(isUp: nil)]) == [
                "warning -: The beat of redbeat has not been watched for long enough to tell whether it is alive."
            ]
        )
    }

    @Test func eachSourceIsToldOnceTheWorstFirst() {
        let collectors = [
            Samples.failing("tasks", "database"), Samples.failing("workers", "database"),
            Samples.failing("redbeat", "redbeat"), Samples.failing("queues", "broker"),
        ]
        #expect(
            problems([:], collectors) == [
                "critical CeleryRedisDown: The source redbeat cannot be read (redbeat): connect to redbeat:1: refused.",
                "critical CeleryRedisDown: The source broker cannot be read (queues): connect to broker:1: refused.",
                "warning CeleryDatabaseDown: The source database cannot be read (tasks, workers): "
                    + "connect to database:1: refused.",
            ]
        )
        #expect(
            problems([:], [Samples.failing("django", "database")]) == [
                "critical CeleryBeatDatabaseDown: The source database cannot be read (django): connect to database:1: refused."
            ]
        )
        // Nobody knows of a beat there.
        #expect(
            problems([:], [Samples.failing("django", "database", hasWorked: false)]) == [
                "warning CeleryDatabaseDown: The source database cannot be read (django): connect to database:1: refused."
            ]
        )
    }

    @Test func aLivingBeatWithTroubles() {
        let beat = Samples.beat(isUp: true) { beat in
            beat.instances = 2
            beat.clockSkew = -61
            beat.schedule = Samples.schedule(count: 0, invalid: 3)
        }
        #expect(
            problems([.redbeat: beat]) == [
                "critical CeleryBeatDuplicated: 2 beats of redbeat are at work, and each sends every periodic task.",
                "critical CeleryBeatScheduleEmpty: The schedule of redbeat is empty, so beat has nothing to send.",
                "warning CeleryClockSkew: The clock of the beat of redbeat is 1 min 1 s behind its source's.",
                "warning -: Entries of redbeat that cannot be decoded: 3.",
            ]
        )
    }

    @Test func manyLateEntriesAreOneProblem() {
        let schedule = Samples.schedule((0..<7).map { Samples.entry("e\($0)", "t", overdue: Double($0) * 60) })
        #expect(
            problems([.redbeat: Samples.beat(isUp: true) { $0.schedule = schedule }]) == [
                "warning CeleryBeatEntryOverdue: Beat lives, but entries of redbeat are late: "
                    + "e6 (6 min), e5 (5 min), e4 (4 min), e3 (3 min), e2 (2 min) and 1 more."
            ]
        )
        // What a dead beat does not do is no news.
        #expect(problems([.redbeat: Samples.beat(isUp: false) { $0.schedule = schedule }]).count == 1)
    }

    @Test func tasksMessagesWorkersAndTheConfiguration() {
        let states = Samples.states { states in
            states.tasks = Samples.tasks([
                Samples.task("a", ratio: 5000), Samples.task("b", ratio: 8999), Samples.task("c", ratio: 9000),
            ])
            states.queues = Samples.queues([])
            states.queues?.unacked = 1
            states.queues?.oldestUnacked = Samples.now - 3901
            states.workers = WorkerState(
                workers: [WorkerStatus(name: "w", isOnline: true, heartbeat: 0)],
                queues: []
            )
            states.process = Samples.process(isConfigurationLoaded: false)
        }
        #expect(
            problems(states, []) == [
                "warning CeleryTaskSuccessRatioLow: Fewer than 90 % of what ended within 5m succeeded: a (50 %), b (89.9 %).",
                "warning CeleryUnackedTooOld: A message was delivered 1 h 5 min ago and never acknowledged, "
                    + "and nobody delivers it again.",
                "warning -: Workers that said they are online have been silent for more than 5 minutes: w.",
                "warning -: The configuration is wrong as it stands now; the exporter goes on with the one before.",
            ]
        )
    }
}
