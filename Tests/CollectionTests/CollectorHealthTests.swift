import Collection
import Reading
import Testing

@Suite struct CollectorHealthTests {
    private let error = SourceError(.timeout, "no answer")
    private let nothing = Reading<Int>(nil)

    @Test func itTellsSinceWhenAndWhy() {
        var health = CollectorHealth(name: "tasks", source: "database")
        #expect(!health.hasEnded && !health.isSuccess && health.error == nil && health.failingSince == nil)
        health.note(Result<Reading<Int>, SourceError>.failure(error), at: 10)
        health.note(Result<Reading<Int>, SourceError>.failure(SourceError(.connect, "refused")), at: 20, took: 5)
        #expect(health.duration == 5 && health.errors == [.timeout: 1, .connect: 1])
        #expect(health.hasEnded && !health.isSuccess && health.lastSuccess == nil)
        #expect(health.failingSince == 10 && health.error == SourceError(.connect, "refused"))
        health.note(.success(nothing), at: 30)
        #expect(health.isSuccess && health.lastSuccess == 30 && health.failingSince == nil && health.error == nil)
        health.note(Result<Reading<Int>, SourceError>.failure(error), at: 40)
        #expect(!health.isSuccess && health.lastSuccess == 30 && health.failingSince == 40)
    }

    @Test func itRemembersThatThereWasSomething() {
        var health = CollectorHealth(name: "redbeat", source: "redbeat")
        health.note(.success(nothing), at: 1)
        #expect(!health.hasBroughtState)
        health.note(.success(Reading(1)), at: 2)
        health.note(.success(nothing), at: 3)
        health.note(Result<Reading<Int>, SourceError>.failure(error), at: 4)
        #expect(health.hasBroughtState)
    }

    @Test func itKeepsTheLastNotesAndNotTooMany() {
        var health = CollectorHealth(name: "tasks", source: "database")
        let problems = (0..<9).map { SourceProblem(.malformed, "problem \($0)") }
        health.note(.success(Reading<Int>(nil, problems: problems, advice: ["make an index", "and another"])), at: 1)
        #expect(health.notes == ["make an index", "and another"] + (0..<8).map { "problem \($0)" })
        health.note(Result<Reading<Int>, SourceError>.failure(error), at: 2)
        #expect(health.notes.isEmpty)
    }
}
