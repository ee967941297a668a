import Reading
import Testing

@testable import Celery
@testable import Collection

@Suite struct SnapshotTests {
    private struct Fixed: Reader {
        func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<BeatState> { Reading(nil) }
    }

    private let definitions = [Scheduler.redbeat, .ping].map { scheduler in
        ReaderDefinition(scheduler.rawValue, source: "redis", \.beats[scheduler]) { _ in Fixed() }
    }

    private let beat = BeatState(time: 1, isUp: true, grace: 2)

    private func reading(_ scheduler: Scheduler) -> Result<Reading<StateChange>, SourceError> {
        let beat = beat
        return .success(Reading<StateChange>({ $0.beats[scheduler] = beat }))
    }

    @Test func aFailureTakesTheStateAway() {
        let current = CurrentSnapshot(definitions, validity: .seconds(60))
        #expect(!current.value.isComplete)
        current.publish("redbeat", reading(.redbeat), took: 0.5)
        current.publish("ping", reading(.ping), took: 0.1)
        #expect(current.value.isComplete)
        #expect(current.value.states.beats == [.redbeat: beat, .ping: beat])
        #expect(current.value.collectors.map(\.isSuccess) == [true, true])

        let before = current.generation
        current.publish("redbeat", .failure(SourceError(.timeout, "no answer")), took: 5)
        #expect(current.generation > before)
        let after = current.value
        #expect(after.states.beats == [.ping: beat])
        #expect(after.collectors.map(\.name) == ["redbeat", "ping"])
        #expect(after.collectors.map { $0.error?.description } == ["no answer", nil])
        #expect(after.collectors.map(\.duration) == [5, 0.1])
        #expect(after.hasSeen(.redbeat) && !after.hasSeen(.django))

        // Nothing tells any more that it is in use.
        current.publish("ping", .success(Reading<StateChange>(nil)), took: 0)
        #expect(current.value.states.beats.isEmpty)
    }

    @Test func aThreadThatHangsShowsNothingOld() {
        let current = CurrentSnapshot(definitions, validity: .zero)
        current.publish("redbeat", reading(.redbeat), took: 0)
        let value = current.value
        #expect(value.states.beats.isEmpty)
        let error = "the collection has not ended for 0.0 seconds; its source hangs"
        #expect(value.collectors.map { $0.error?.description } == [error, error])
        // It does not keep the program from being ready.
        #expect(value.isComplete)
    }

    @Test func nothingChangesWithoutAPublication() {
        let current = CurrentSnapshot(definitions, validity: .seconds(60))
        current.publish("redbeat", reading(.redbeat), took: 0)
        #expect(current.value == current.value)
    }
}
