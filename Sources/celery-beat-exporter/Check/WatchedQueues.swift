internal import Celery
internal import Collection
internal import Collectors
internal import Reading
internal import Redis
internal import System

/// The queues' collector as `check` uses it: at the first look it waits to see whether anybody takes what is in them.
struct WatchedQueues: Collector {
    private var collector: any Collector
    private let standing: StandingQueues
    private var hasWatched = false

    /// Longer than a worker that is free takes to fetch the next message.
    private static let patience = Duration.seconds(1)

    init(_ collector: any Collector, _ standing: StandingQueues) {
        self.collector = collector
        self.standing = standing
    }

    mutating func collect(until deadline: ContinuousClock.Instant) throws(SourceError) -> Collected {
        var collected = try collector.collect(until: deadline)
        guard !hasWatched else { return collected }
        hasWatched = true
        let waiting = MetricValues(collected.families).values("celery_queue_length", by: "queue_name")
            .filter { $0.value > 0 }.sorted { $0.value > $1.value }
        let never = Event()
        do throws(SourceError) {
            let outcome = try standing.look(at: waiting.map(\.label), until: deadline + Self.patience) {
                _ = never.wait(until: .now + Self.patience)
            }
            collected.problems += waiting.filter { outcome.queues.contains($0.label) }.map { queue in
                Self.problem(queue.label, messages: Int(bounding: queue.value), hasWorkers: outcome.hasWorkers)
            }
        } catch {
            // What is missing says less than what was found.
            collected.notes.append("whether anybody takes messages could not be seen; \(error.description)")
        }
        return collected
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
