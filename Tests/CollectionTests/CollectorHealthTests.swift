import Collection
import Exposition
import Reading
import Testing

@Suite struct CollectorHealthTests {
    private let error = SourceError(.timeout, "no answer")

    @Test func itTellsSinceWhenAndWhy() {
        var health = CollectorHealth(name: "tasks", source: "database")
        #expect(!health.hasEnded && !health.isSuccess && health.error == nil && health.failingSince == nil)
        health.note(.failure(error), at: 10)
        health.note(.failure(SourceError(.connect, "refused")), at: 20)
        #expect(health.hasEnded && !health.isSuccess && health.lastSuccess == nil)
        #expect(health.failingSince == 10 && health.error == SourceError(.connect, "refused"))
        health.note(.success(Collected([])), at: 30)
        #expect(health.isSuccess && health.lastSuccess == 30 && health.failingSince == nil && health.error == nil)
        health.note(.failure(error), at: 40)
        #expect(!health.isSuccess && health.lastSuccess == 30 && health.failingSince == 40)
    }

    @Test func itRemembersThatThereWasSomething() {
        var health = CollectorHealth(name: "redbeat", source: "redbeat")
        health.note(.success(Collected([])), at: 1)
        #expect(!health.hasBroughtFamilies)
        health.note(.success(Collected([MetricFamily("x", help: "", type: .gauge)])), at: 2)
        health.note(.success(Collected([])), at: 3)
        health.note(.failure(error), at: 4)
        #expect(health.hasBroughtFamilies)
    }

    @Test func itKeepsTheLastNotesAndNotTooMany() {
        var health = CollectorHealth(name: "tasks", source: "database")
        let problems = (0..<9).map { SourceProblem(.malformed, "problem \($0)") }
        health.note(.success(Collected([], problems: problems, advice: ["make an index", "and another"])), at: 1)
        #expect(health.notes == (0..<9).map { "problem \($0)" } + ["make an index"])
        health.note(.failure(error), at: 2)
        #expect(health.notes.isEmpty)
    }
}
