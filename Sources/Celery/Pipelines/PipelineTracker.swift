/// Concludes how pipelines fare from what a table has of their members. Pure: it holds what must be remembered.
///
/// A pipeline is over when a member failed, or when all have succeeded and there are as many as the chain has. Where that
/// number is not known it is over when nothing has come after the last success for some seconds.
struct PipelineTracker {
    private let configuration: TaskConfiguration
    private var aggregates: [String: PipelineAggregate] = [:]
    /// Pipelines in progress, with when something last happened and what their first task is called.
    private var open: [String: (name: String, activity: Double)] = [:]
    /// Pipelines whose first task is not recorded yet, and since when: processes write each for itself.
    private var nameless: [String: Double] = [:]
    /// Pipelines that were counted, by the hashes of their roots, and when they last showed. Each process hashes otherwise, so
    /// that nobody can choose two that are equal.
    private var closed: [Int: Double] = [:]
    /// What ended, for the windows.
    private var ends: [(time: Double, name: String, isSuccess: Bool)] = []
    private var start: Double?

    /// What pipelines are called whose first task is not recorded.
    private static let unnamed = "unknown"
    /// The next member of a chain is recorded within this many seconds of the one before it.
    private static let settling = 10.0
    /// Pipelines without any news for so long are forgotten.
    private static let longestSilence = 86_400.0
    /// A counted pipeline is remembered for so long after it last showed: its members may appear late.
    private static let memory = 3600.0
    static let maximumOpen = 5000
    private static let maximumRemembered = 100_000

    init(configuration: TaskConfiguration) {
        self.configuration = configuration
    }

    /// The pipelines that must be looked at again.
    var openRoots: [String] { Array(open.keys) + Array(nameless.keys) }

    /// Nobody records pipelines yet: what will be there has come since.
    mutating func begin(at now: Double) {
        start = start ?? now
    }

    /// Notes that a pipeline showed again.
    /// - Returns: whether it was counted, so that there is nothing more to ask.
    mutating func noteSight(of root: String, at now: Double) -> Bool {
        guard closed[root.hashValue] != nil else { return false }
        closed[root.hashValue] = now
        return true
    }

    /// - Parameters:
    ///   - readings: what the source has of the pipelines that were asked for.
    ///   - now: the source's clock, Unix seconds.
    mutating func observe(_ readings: [PipelineReading], at now: Double) {
        let baseline = start ?? now
        start = baseline
        // Whose rows are gone, nobody will hear of again.
        let present = Set(readings.map(\.root))
        open = open.filter { present.contains($0.key) }
        nameless = nameless.filter { present.contains($0.key) }
        for reading in readings where configuration.tells(of: reading.rootTask ?? Self.unnamed) {
            if closed[reading.root.hashValue] != nil {
                closed[reading.root.hashValue] = now
                continue
            }
            if reading.rootTask == nil, now < (nameless[reading.root] ?? now) + Double(TaskRing.lateness) {
                if nameless.count < Self.maximumOpen { nameless[reading.root] = nameless[reading.root] ?? now }
                continue
            }
            nameless[reading.root] = nil
            let name = self.name(reading.rootTask ?? Self.unnamed)
            guard let outcome = Self.outcome(of: reading, at: now) else {
                if open.count < Self.maximumOpen || open[reading.root] != nil {
                    let activity = max(reading.end ?? 0, reading.start ?? 0)
                    open[reading.root] = (name, max(activity, open[reading.root]?.activity ?? now))
                }
                continue
            }
            open[reading.root] = nil
            closed[reading.root.hashValue] = now
            let end = min(outcome.time, now)
            ends.append((end, name, outcome.isSuccess))
            // What ended long ago may have been counted and forgotten.
            guard end >= baseline, end > now - Self.memory else { continue }
            aggregates[name]?.results[outcome.isSuccess ? "SUCCESS" : "FAILURE", default: 0].count(1)
            if outcome.isSuccess, let first = reading.start { add(duration: max(0, end - first), to: name) }
        }
        forget(at: now)
    }

    func state(at now: Double) -> PipelineState {
        var all = aggregates
        for (name, _) in open.values { all[name]?.inProgress += 1 }
        for window in configuration.windows {
            var counts: [String: (successes: Int, ended: Int)] = [:]
            for end in ends where end.time > now - Double(window.seconds) {
                counts[end.name, default: (0, 0)].ended += 1
                if end.isSuccess { counts[end.name, default: (0, 0)].successes += 1 }
            }
            for (name, count) in counts {
                let ratio = SuccessRatio(window: window, successes: count.successes, ended: count.ended)
                all[name]?.completionRatios.append(ratio)
            }
        }
        return PipelineState(pipelines: all.values.sorted { $0.rootTask < $1.rootTask })
    }

    /// How a pipeline ended, and when; nil while it goes on.
    private static func outcome(of reading: PipelineReading, at now: Double) -> (isSuccess: Bool, time: Double)? {
        if reading.failed > 0 { return (false, reading.failure ?? reading.end ?? now) }
        guard reading.succeeded == reading.members, let end = reading.end else { return nil }
        if let total = reading.total, total > 1 { return reading.members >= total ? (true, end) : nil }
        return reading.members > 1 && now - end >= settling ? (true, end) : nil
    }

    private mutating func add(duration: Double, to name: String) {
        let index = configuration.durationBounds.firstIndex { duration <= $0 } ?? configuration.durationBounds.count
        aggregates[name]?.durationCounts[index] += 1
        aggregates[name]?.durationSum += duration
    }

    private mutating func forget(at now: Double) {
        let longest = Double(configuration.windows.map(\.seconds).max() ?? 0)
        ends.removeAll { $0.time < now - longest }
        if ends.count > Self.maximumRemembered { ends.removeFirst(ends.count - Self.maximumRemembered) }
        for (root, pipeline) in open where pipeline.activity <= now - Self.longestSilence {
            open[root] = nil
            // Or a row that says PENDING for ever would bring it back.
            closed[root.hashValue] = now
        }
        closed = closed.filter { $0.value > now - Self.memory }
        if closed.count > Self.maximumRemembered {
            let oldest = closed.values.sorted()[closed.count - Self.maximumRemembered]
            closed = closed.filter { $0.value >= oldest }
        }
    }

    /// The name under which a pipeline is counted; makes it known.
    private mutating func name(_ task: String) -> String {
        if let index = aggregates.index(forKey: task) { return aggregates[index].key }
        let name = aggregates.count < configuration.maximumNames ? task : LabelCap.other
        if aggregates[name] == nil {
            let counts = Array(repeating: 0, count: configuration.durationBounds.count + 1)
            aggregates[name] = PipelineAggregate(rootTask: name, durationCounts: counts)
        }
        return name
    }
}
