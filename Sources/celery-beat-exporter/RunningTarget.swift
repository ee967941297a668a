internal import Collection
internal import HTTP
internal import Logging
internal import Status

/// One application that is being watched: its collectors on their threads, and what they brought.
final class RunningTarget: Sendable {
    let target: Target
    let snapshot: Snapshot
    private let page: MetricsPage
    private let loops: [CollectorLoop]
    let beatWatch: BeatWatch

    /// - Parameters:
    ///   - others: collectors beside those that watch the application.
    ///   - logger: names the application where there are several.
    init(
        _ target: Target,
        _ schedule: CollectionSchedule,
        identity: String,
        others: [CollectorDefinition] = [],
        logger: Logger
    ) {
        self.target = target
        let definitions = others + CollectorList.collectors(for: target, schedule, identity: identity)
        let snapshot = Snapshot(collectors: definitions, validity: schedule.interval * 2 + schedule.timeout * 4)
        self.snapshot = snapshot
        page = MetricsPage(snapshot)
        beatWatch = BeatWatch(target, snapshot, timeout: schedule.timeout, logger: logger)
        loops = definitions.map { CollectorLoop($0, into: snapshot, schedule, logger: logger) }
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
    func status(named name: String?, at time: Double) -> ApplicationStatus {
        let (families, collectors, _) = snapshot.gather()
        return ApplicationStatus(
            target: name,
            families: families,
            collectors: collectors,
            expectedSchedulers: target.expectedSchedulers,
            search: beatWatch.search,
            time: time
        )
    }

    /// The metrics as they are now.
    func metrics(for request: HTTPRequest) -> HTTPResponse {
        page.response(
            in: Representation(
                accept: request.header("Accept"),
                acceptEncoding: request.header("Accept-Encoding")
            )
        )
    }
}
