import Collection
import Reading
import Redis
import Testing

@testable import Celery
@testable import Watching

@Suite struct BeatFinderTests {
    /// - Parameter isEmptyHanded: nil where the source cannot be read.
    private func collector(_ name: String, isEmptyHanded: Bool?) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: "s")
        let result: Result<Reading<Int>, SourceError> =
            isEmptyHanded == nil ? .failure(SourceError(.connect, "away")) : .success(Reading(nil))
        health.note(result, at: 1)
        return health
    }

    @Test(
        arguments: [
            ([true, true], [], [], [.redbeat, .django]), ([true, false], [], [.django], []),
            ([true, false], [.redbeat], [.django], [.redbeat]),
            ([false, false], [.redbeat], [.redbeat, .django], []),
            // Whoever cannot be read might tell, unless it has to be there.
            ([true, nil], [], [], []), ([true, nil], [.redbeat], [], [.redbeat]), ([false, nil], [], [.redbeat], []),
        ] as [([Bool?], Set<Scheduler>, Set<Scheduler>, Set<Scheduler>)]
    )
    func whichBeatsAreMissed(
        emptyHanded: [Bool?],
        expected: Set<Scheduler>,
        found: Set<Scheduler>,
        missed: Set<Scheduler>
    ) {
        let schedulers = zip([Scheduler.redbeat, .django], emptyHanded)
        var snapshot = Snapshot(
            collectors: schedulers.map { collector($0.rawValue, isEmptyHanded: $1) }
                + [collector("tasks", isEmptyHanded: false)]
        )
        for (scheduler, isEmptyHanded) in schedulers where isEmptyHanded == false {
            snapshot.states.beats[scheduler] = BeatState(time: 1, grace: 2)
        }
        let beats = BeatsFound(snapshot, expected: expected)
        #expect(beats.found == found)
        #expect(beats.missed == missed)
        let pending = Snapshot(collectors: [CollectorHealth(name: "redbeat", source: "s")])
        #expect(BeatsFound(pending, expected: []).missed == [])
        #expect(BeatsFound(Snapshot(collectors: []), expected: []).missed == [])
    }

    /// What is known of a scheduler's state although nothing of it is there.
    @Test func aBeatThatIsNowhereIsMissed() {
        var snapshot = Snapshot(collectors: [collector("redbeat", isEmptyHanded: true)])
        snapshot.states.beats[.redbeat] = BeatState(time: 1, isNowhere: true, grace: 2)
        let beats = BeatsFound(snapshot, expected: [.redbeat])
        #expect(beats.found == [] && beats.missed == [.redbeat])
    }

    @Test(
        arguments: [
            ("redis://h:6379/2", "redis-cli -u redis://h:6379/2"),
            ("redis://:s@h:6379/2", "redis-cli --askpass -u redis://h:6379/2"),
            ("rediss://u:s@h:6379/2", "redis-cli --user u --askpass -u rediss://h:6379/2"),
            ("unix:///run/redis.sock?virtual_host=1", "redis-cli -s /run/redis.sock -n 1"),
            ("redis-cluster://a:1,b:2", "redis-cli -c -u redis://a:1"),
        ]
    )
    func commandLines(url: String, line: String) throws {
        #expect(try RedisAddress(url: url).commandLine(orFor: "URL") == line)
    }
}
