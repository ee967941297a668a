package import Celery
package import Collection
internal import Configuration
internal import Logging
internal import Status
internal import Synchronization

/// Says whether any beat of an application was found, and looks for it elsewhere while none was: whoever starts the exporter
/// must not learn by the first outage that it watched nothing.
final class BeatWatch: Sendable {
    private struct State {
        /// Of the snapshot that was looked at last.
        var generation: Int?
        var beats = BeatsFound()
        /// The last search; nil while no beat is missed.
        var search: BeatSearch?
        var searches = 0
        var nextSearch = ContinuousClock.now
    }

    private let target: Target
    private let snapshot: CurrentSnapshot
    private let timeout: Duration
    private let logger: Logger
    private let state = Mutex(State())

    /// Between two searches, from the first on: each walks over all keys of a Redis.
    private static let pauses: [Duration] = [.seconds(600), .seconds(3600)]

    init(_ target: Target, _ snapshot: CurrentSnapshot, timeout: Duration, logger: Logger) {
        self.target = target
        self.snapshot = snapshot
        self.timeout = timeout
        self.logger = logger
    }

    /// The last search; nil while no beat is missed.
    var search: BeatSearch? { state.withLock { $0.search } }

    /// Looks at what collections have brought and, where it is time, elsewhere. Never called by two threads at once.
    func look() {
        let generation = snapshot.generation
        let before = state.withLock { $0 }
        let beats =
            generation == before.generation
            ? before.beats : BeatsFound(snapshot.value, expected: target.expectedSchedulers)
        state.withLock { state in
            (state.generation, state.beats) = (generation, beats)
            if beats.missed.isEmpty { state.search = nil }
        }
        let news = beats.found.subtracting(before.beats.found)
        let isTime = !beats.missed.isEmpty && .now >= before.nextSearch
        for scheduler in Scheduler.allCases where news.contains(scheduler) {
            logger.info("beat found", metadata: ["scheduler": "\(scheduler.rawValue)"])
        }
        guard isTime else { return }
        let search = BeatFinder(target, timeout: timeout).search(for: beats.missed)
        let isNews = state.withLock { state in
            defer { state.search = search }
            state.nextSearch = .now + Self.pauses[min(state.searches, Self.pauses.count - 1)]
            state.searches += 1
            return state.search != search
        }
        if isNews { tell(search) }
    }

    private static let advice =
        "name a scheduler that must be there by --beat.scheduler; a PersistentScheduler leaves no trace: give a schedule to "
        + "expect, or --beat.ping"

    private func tell(_ search: BeatSearch) {
        let lookedFor = search.lookedFor.joined(separator: "; ")
        if target.expectedSchedulers.isEmpty {
            logger.warning(
                "no beat found, and none is expected: no alert about beat can fire",
                metadata: ["looked_for": "\(lookedFor)", "advice": "\(Self.advice)"]
            )
        } else {
            logger.warning("no beat found where it is looked for", metadata: ["looked_for": "\(lookedFor)"])
        }
        for place in search.places.prefix(BeatSearch.maximumLines) {
            logger.warning(
                "a beat is somewhere else",
                metadata: ["found": "\(place.text)", "set": "\(place.setting)"]
            )
        }
        for gap in search.gaps.prefix(BeatSearch.maximumLines) {
            logger.warning("a beat could not be looked for", metadata: ["where": "\(gap)"])
        }
    }
}

/// Which schedulers were found.
package struct BeatsFound: Equatable {
    package private(set) var found: Set<Scheduler> = []
    /// Those that have to be there, and nothing was found of them where they are looked for; where none is found at all, and
    /// every source was read that could show one, all that were looked for.
    package private(set) var missed: Set<Scheduler> = []

    /// Before anything was read.
    init() {}

    package init(_ snapshot: Snapshot, expected: Set<Scheduler>) {
        let watchers = snapshot.collectors.filter { Scheduler(rawValue: $0.name) != nil }
        found = Set(snapshot.states.beats.filter { !$0.value.isNowhere }.keys)
        let emptyHanded = Set(watchers.filter(\.isSuccess).compactMap { Scheduler(rawValue: $0.name) }).subtracting(
            found
        )
        let isNowhere = found.isEmpty && watchers.allSatisfy(\.isSuccess)
        missed = isNowhere ? emptyHanded : emptyHanded.intersection(expected)
    }
}
