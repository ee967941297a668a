import Collection
import Exposition
import Reading
import Redis
import Status
import Testing

@testable import celery_beat_exporter

@Suite struct BeatSearchTests {
    private func collector(_ name: String, isEmptyHanded: Bool?) -> CollectorHealth {
        var health = CollectorHealth(name: name, source: "s")
        guard let isEmptyHanded else {
            health.note(.failure(SourceError(.connect, "away")), at: 1)
            return health
        }
        var collected = Collected([])
        collected.isEmptyHanded = isEmptyHanded
        health.note(.success(collected), at: 1)
        return health
    }

    @Test(
        arguments: [
            ([true, true], [], [], ["redbeat", "django"]), ([true, false], [], ["django"], []),
            ([true, false], ["redbeat"], ["django"], ["redbeat"]),
            ([false, false], ["redbeat"], ["redbeat", "django"], []),
            // Whoever cannot be read might tell.
            ([true, nil], ["redbeat"], [], []), ([false, nil], [], ["redbeat"], []),
        ] as [([Bool?], Set<String>, Set<String>, Set<String>)]
    )
    func whichBeatsAreMissed(
        emptyHanded: [Bool?],
        expected: Set<String>,
        found: Set<String>,
        missed: Set<String>
    ) {
        let collectors = zip(["redbeat", "django"], emptyHanded).map { collector($0, isEmptyHanded: $1) }
        let beats = BeatsFound(collectors + [collector("tasks", isEmptyHanded: false)], expected: expected)
        #expect(beats.found == found)
        #expect(beats.missed == missed)
        #expect(BeatsFound([CollectorHealth(name: "redbeat", source: "s")], expected: []).missed == [])
        #expect(BeatsFound([], expected: []).missed == [])
    }

    @Test func whatASearchSays() {
        var search = BeatSearch()
        search.lookedFor = ["RedBeat here"]
        let missing = Finding(.failure, "redbeat", "nothing", cause: .missingBeat)
        let start = "start beat, or correct the settings that say where it is"
        #expect(missing.adding(search).details == ["looked for RedBeat here", "and found none elsewhere", start])
        search.gaps = ["database 3: NOPERM"]
        #expect(
            missing.adding(search).details == [
                "looked for RedBeat here", "could not be looked through: database 3: NOPERM", start,
            ]
        )
        search.places = [BeatSearch.Place("RedBeat there", setting: "--x=y")]
        #expect(
            missing.adding(search).details == [
                "there is RedBeat there; if it is yours", "set: --x=y", "looked for RedBeat here",
                "could not be looked through: database 3: NOPERM",
            ]
        )
        #expect(Finding(missing: search).text == "no beat was found")
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
