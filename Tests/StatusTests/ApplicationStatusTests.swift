import Collection
import Testing

@testable import Celery
@testable import Status

@Suite struct ApplicationStatusTests {
    private static let redis = Samples.reading("redbeat", "redbeat")

    @Test func agesAreTakenByTheClockThatBeatIsSeenBy() throws {
        let beat = try #require(Samples.full.beats.first)
        #expect(beat.now == Samples.now + 3600)
        #expect(beat.now - (beat.heartbeat ?? 0) == 10)
    }

    @Test func lateEntriesComeFirst() {
        #expect(Samples.full.beats.flatMap(\.entries).map(\.name) == ["often", "nightly", "off"])
        #expect(Samples.full.beats.flatMap(\.entries).map(\.state) == [.late, .onTime, .off])
    }

    @Test func anEntryIsLateWhenBeatShouldHaveLooked() {
        // The loop interval of 30 s and the grace of 2 s.
        let states = [0, 0.5, 32, 32.5].map { overdue in
            let beat = Samples.beat(isUp: true) {
                $0.schedule = Samples.schedule([Samples.entry("e", "t", overdue: overdue)])
            }
            return Samples.status([.redbeat: beat], [Self.redis]).beats.first?.entries.first?.state
        }
        #expect(states == [.onTime, .due, .due, .late])
    }

    @Test func entriesThatShareANameAreToldApart() {
        func entry(_ task: String, _ values: [Double], isEnabled: Bool = true) -> BeatEntryState {
            var entry = Samples.entry("report", task, overdue: values[0], isEnabled: isEnabled)
            (entry.lastRun, entry.nextDue, entry.runs) = (values[1], values[2], Int(values[3]))
            return entry
        }
        func beat(_ entries: BeatEntryState...) -> BeatState {
            Samples.beat(isUp: true) { $0.schedule = Samples.schedule(entries) }
        }
        let status = Samples.status(
            [
                .redbeat: beat(entry("a.fast", [0, 1, 2, 3]), entry("b.slow", [500, 4, 5, 6])),
                .django: beat(entry("a.fast", [0, 7, 8, 9], isEnabled: false)),
            ],
            [Self.redis, Samples.reading("django", "database")]
        )
        func told(_ beat: ApplicationStatus.Beat?) -> [String] {
            (beat?.entries ?? []).map {
                "\($0.name) \($0.task) \($0.state) \($0.overdue ?? 0) \($0.lastRun ?? 0) \($0.nextDue ?? 0) \($0.runs ?? 0)"
            }
        }
        #expect(
            told(status.beats.first) == ["report b.slow late 500.0 4.0 5.0 6", "report a.fast onTime 0.0 1.0 2.0 3"]
        )
        #expect(told(status.beats.last) == ["report a.fast off 0.0 7.0 8.0 9"])
        #expect(
            status.problems.map(\.text) == [
                "1 entry is late: report, task b.slow by 8 min 20 s"
            ]
        )
    }

    /// Names are cut when they are shown, not before.
    @Test func namesThatDifferAtTheirEndAreToldApart() {
        let names = ["a", "b"].map { String(repeating: "x", count: 400) + $0 }
        let states = Samples.states { states in
            states.workers = WorkerState(
                workers: names.enumerated().map { WorkerStatus(name: $1, isOnline: true, activeTasks: $0) },
                queues: []
            )
            states.tasks = Samples.tasks(names.map { Samples.task($0, ratio: 5000) })
            let pipelines = names.enumerated().map { Samples.pipeline($1, inProgress: $0) }
            states.pipelines = PipelineState(pipelines: pipelines)
        }
        let status = Samples.status(states, [])
        #expect(status.workers?.map(\.activeTasks).sorted { $0 ?? 0 < $1 ?? 0 } == [0, 1])
        #expect(status.tasks?.map(\.successRatios.count) == [1, 1])
        #expect(status.pipelines?.map(\.inProgress).sorted() == [0, 1])
    }

    @Test func whatIsNotReadIsNotKnown() {
        let failing = [Samples.failing("queues", "broker"), Samples.failing("tasks", "database")]
        let status = Samples.status([:], failing)
        #expect(status.queues == nil && status.tasks == nil && status.pipelines == nil && status.workers == nil)
        #expect(Samples.status(Samples.states { $0.queues = Samples.queues([]) }, []).queues == [])
    }

    @Test(
        arguments: [
            ([true], .alive, true), ([false], .dead, false), ([nil], .unknown, nil), ([true, true], .alive, true),
            ([true, false], .dead, false), ([nil, false], .dead, false), ([true, nil], .unknown, nil),
            ([], .none, nil),
        ] as [([Bool?], ApplicationStatus.Verdict, Bool?)]
    )
    func verdictOverSeveral(up: [Bool?], verdict: ApplicationStatus.Verdict, isActive: Bool?) {
        let schedulers = zip([Scheduler.redbeat, .django], up)
        let status = Samples.status(
            Dictionary(uniqueKeysWithValues: schedulers.map { ($0, Samples.beat(isUp: $1)) }),
            [Self.redis, Samples.reading("django", "database"), Samples.reading("tasks", "database")]
        )
        #expect(status.beats.map(\.scheduler) == schedulers.map(\.0))
        #expect(status.verdict == verdict)
        #expect(status.isActive == isActive)
    }

    @Test(
        arguments: [
            (true, false, false, .alive, .alive, true), (true, true, false, .uncertain, .uncertain, true),
            (false, false, false, .dead, .dead, false), (false, false, true, .notFound, .notFound, false),
            (false, true, false, .dead, .dead, false), (nil, true, true, .unknown, .unknown, nil),
        ] as [(Bool?, Bool, Bool, ApplicationStatus.Life, ApplicationStatus.Verdict, Bool?)]
    )
    func lifeIsConcludedOnce(
        up: Bool?,
        isPreliminary: Bool,
        isNowhere: Bool,
        life: ApplicationStatus.Life,
        verdict: ApplicationStatus.Verdict,
        isActive: Bool?
    ) {
        let beat = Samples.beat(isUp: up) { ($0.isPreliminary, $0.isNowhere) = (isPreliminary, isNowhere) }
        let status = Samples.status([.redbeat: beat], [Self.redis])
        #expect(status.beats.map(\.life) == [life])
        // As `check` has it, from the same state.
        #expect(ApplicationStatus.Beat(beat, of: .redbeat).life == life)
        #expect(status.verdict == verdict)
        #expect(status.isActive == isActive)
    }

    /// However old the look is: beat may have shown life again since.
    @Test func aDeadlineThatHasPassedSinceTheLookIsNotMissed() {
        func beat(isUp: Bool) -> BeatState { Samples.beat(isUp: isUp) { $0.deadline = Samples.now + 3600 - 0.5 } }
        let status = Samples.status([.redbeat: beat(isUp: true)], [Self.redis])
        #expect(status.verdict == .alive)
        #expect(status.beats.map(\.isDueSinceLook) == [true])
        #expect(status.problems == [])
        let before = Samples.status([.redbeat: Samples.beat(isUp: true)], [Self.redis])
        #expect(before.beats.map(\.isDueSinceLook) == [false])
        let dead = Samples.status([.redbeat: beat(isUp: false)], [Self.redis])
        #expect(dead.beats.map(\.isDueSinceLook) == [false])
    }

    @Test func verdictWithoutWhatTellsOfBeat() {
        let known = Samples.failing("redbeat", "redbeat")
        let never = Samples.failing("redbeat", "redbeat", hasWorked: false)
        let pending = Samples.pending("redbeat", "redbeat")
        #expect(Samples.status([:], [known]).verdict == .unknown)
        #expect(Samples.status([:], [known]).beats.map(\.scheduler) == [.redbeat])
        #expect(Samples.status([:], [never]).verdict == .unknown)
        #expect(Samples.status([:], [never]).beats.isEmpty)
        #expect(Samples.status([:], [never], expecting: [.redbeat]).beats.map(\.scheduler) == [.redbeat])
        #expect(Samples.status([:], [pending]).verdict == .pending)
        #expect(Samples.status([:], [pending], expecting: [.redbeat]).verdict == .pending)
        #expect(Samples.status([:], []).verdict == .none)
        // A RedBeat that was never seen says nothing against the beat that is there.
        let django = Samples.reading("django", "database")
        #expect(Samples.status([.django: Samples.beat(isUp: true)], [never, django]).verdict == .alive)
        #expect(Samples.status([.django: Samples.beat(isUp: true)], [known, django]).verdict == .unknown)
    }

    @Test(
        arguments: [
            (Samples.lock(isHeld: false), nil), (Samples.lock(isHeld: true, timeToLive: 12.5), 12.5),
            // Without an end.
            (Samples.lock(isHeld: true), nil), (nil, nil),
        ] as [(LockState?, Double?)]
    )
    func lockTimeToLive(lock: LockState?, seconds: Double?) {
        let status = Samples.status([.redbeat: Samples.beat(isUp: true) { $0.lock = lock }], [Self.redis])
        #expect(status.lockTimeToLive == seconds)
    }

    @Test func workersThatSaidTheyAreOnlineFallSilent() {
        let states = [299.0, 301].map { age in
            let worker = WorkerStatus(name: "w", isOnline: true, heartbeat: Samples.now - age)
            let states = Samples.states { $0.workers = WorkerState(workers: [worker], queues: []) }
            return Samples.status(states, []).workers?.first?.state
        }
        #expect(states == [.online, .silent])
    }

    @Test func foreignNamesAreCut() {
        let long = String(repeating: "e\u{301}", count: 200)
        let status = Samples.status(Samples.states { $0.queues = Samples.queues([(long, 1)]) }, [])
        #expect(status.queues?.first?.name == String(repeating: "e\u{301}", count: 150) + "…")
    }

    @Test func oneOfSeveralInALine() {
        var status = Samples.full
        status.target = "shop"
        let summary = TargetSummary(status)
        #expect(summary.name == "shop" && summary.verdict == .alive && summary.isActive == true)
        #expect(summary.worstLateness == 100 && summary.messages == 12_347)
        #expect(summary.criticalCount == 0 && summary.warningCount == 3 && summary.failingSources == ["database"])
        let unknown = TargetSummary(Samples.status([:], [Samples.failing("redbeat", "redbeat")], target: "x"))
        #expect(unknown.worstLateness == nil && unknown.messages == nil && unknown.criticalCount == 1)
    }
}
