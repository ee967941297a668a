internal import Celery
internal import Reading
internal import System

/// The queues' reader as `check` uses it: at the first look it waits to see whether anybody takes what is in them.
struct WatchedQueues: Reader {
    private let reader: QueueReader
    private let standing: StandingQueues
    private var hasWatched = false

    /// Longer than a worker that is free takes to fetch the next message.
    private static let patience = Duration.seconds(1)

    init(_ reader: QueueReader, _ standing: StandingQueues) {
        self.reader = reader
        self.standing = standing
    }

    mutating func read(until deadline: ContinuousClock.Instant) throws(SourceError) -> Reading<QueueState> {
        var reading = try reader.read(until: deadline)
        guard !hasWatched else { return reading }
        hasWatched = true
        let waiting = (reading.state?.queues ?? []).filter { $0.length > 0 }.sorted { $0.length > $1.length }
        do throws(SourceError) {
            let outcome = try standing.look(at: waiting.map(\.name), until: deadline + Self.patience) {
                WorkThread.sleep(until: .now + Self.patience)
            }
            reading.problems += waiting.filter { outcome.queues.contains($0.name) }.map { queue in
                Self.problem(queue.name, messages: queue.length, hasWorkers: outcome.hasWorkers)
            }
        } catch {
            // What is missing says less than what was found.
            reading.notes.append("whether anybody takes messages could not be seen; \(error.description)")
        }
        return reading
    }

    private static func problem(_ queue: String, messages: Int, hasWorkers: Bool?) -> SourceProblem {
        let worker =
            hasWorkers == false
            ? "no worker is connected to this database of the broker: start one"
            : "start a worker that takes from it, as celery -A APP worker -Q \(queue)"
        let count = "\(messages) \(messages == 1 ? "message waits" : "messages wait")"
        return SourceProblem(
            .server,
            "\(queue): \(count), and nobody takes any; \(worker)"
        )
    }
}
