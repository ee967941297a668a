internal import Celery
package import Collection
package import Configuration
internal import Logging
package import Status

/// One application that is being watched: its readers on their threads, and what they concluded.
package final class RunningTarget: Sendable {
    package let target: Target
    package let snapshot: CurrentSnapshot
    private let loops: [SourceLoop]
    let beatWatch: BeatWatch

    /// - Parameters:
    ///   - others: readers beside those that watch the application.
    ///   - logger: names the application where there are several.
    init(
        _ target: Target,
        _ schedule: CollectionSchedule,
        identity: String,
        others: [ReaderDefinition] = [],
        logger: Logger
    ) {
        self.target = target
        let definitions = others + ReaderList.readers(for: target, schedule, identity: identity)
        let snapshot = CurrentSnapshot(definitions, validity: schedule.interval * 2 + schedule.timeout * 4)
        self.snapshot = snapshot
        beatWatch = BeatWatch(target, snapshot, timeout: schedule.timeout, logger: logger)
        loops = Self.byServer(definitions, of: target).map { SourceLoop($0, into: snapshot, schedule, logger: logger) }
    }

    /// The readers of each server together, those of beats first. Pings go beside: they wait for their answers.
    private static func byServer(_ definitions: [ReaderDefinition], of target: Target) -> [[ReaderDefinition]] {
        // Where RedBeat keeps its schedule in the broker, that is one server.
        let isOneRedis = target.redBeatAddress == target.broker?.redis
        let pings = definitions.filter { $0.name == Scheduler.ping.rawValue }
        let others = definitions.filter { $0.name != Scheduler.ping.rawValue }
        let groups = Dictionary(grouping: others) { isOneRedis && $0.source == "redbeat" ? "broker" : $0.source }.values
            .map { group in
                group.filter { Scheduler(rawValue: $0.name) != nil }
                    + group.filter { Scheduler(rawValue: $0.name) == nil }
            }
        return groups + (pings.isEmpty ? [] : [pings])
    }

    /// Starts what does not run yet: threads may have been short.
    func start() {
        for loop in loops { loop.start() }
    }

    /// Lets the running collections end, and starts no others.
    func stop() {
        for loop in loops { loop.stop() }
    }

    /// What is known of the application now, by the exporter's clock.
    package func status(named name: String?, at time: Double) -> ApplicationStatus {
        ApplicationStatus(of: target, named: name, snapshot.value, search: beatWatch.search, at: time)
    }
}
