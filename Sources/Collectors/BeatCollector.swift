package import Celery
package import Collection
internal import Exposition
internal import Postgres
internal import Redis

/// Whether a beat lives and does what it promised, whatever its scheduler.
package struct BeatCollector: Collector {
    private let scheduler: String
    private let scheduledQueues: SharedQueueNames
    private let maximumEntrySeries: Int
    /// One reading; without a state while nothing tells that the scheduler is in use.
    private let read: () throws(CollectionError) -> (state: BeatState?, anomalies: [Anomaly])
    /// Whether a state that was read shows nothing of a beat, nor of a schedule.
    private let isNothing: (BeatState) -> Bool
    /// What would make readings cheaper.
    private let advice: () -> [String]

    /// Of a RedBeat.
    /// - Parameters:
    ///   - reader: what reads its keys.
    ///   - scheduledQueues: where to put the queues that entries name.
    ///   - maximumEntrySeries: entries that get series of their own; 0 for none.
    ///   - sighting: where to tell that there is a RedBeat.
    package init(
        _ reader: RedBeatReader,
        scheduledQueues: SharedQueueNames,
        maximumEntrySeries: Int,
        sighting: BeatSighting
    ) {
        self.init(
            "redbeat",
            scheduledQueues,
            maximumEntrySeries,
            isNothing: \.showsNothing,
            advice: { reader.advice }
        ) {
            () throws(CollectionError) in
            do throws(RedisError) {
                let reading = try reader.read()
                if reading.state != nil { sighting.note() }
                return reading
            } catch { throw CollectionError(error) }
        }
    }

    /// Of a beat with django-celery-beat's DatabaseScheduler, whose tables `reader` reads; the rest as above.
    package init(_ reader: DatabaseSchedulerReader, scheduledQueues: SharedQueueNames, maximumEntrySeries: Int) {
        self.init(
            "django",
            scheduledQueues,
            maximumEntrySeries,
            isNothing: { _ in !reader.hasTables },
            advice: { reader.advice }
        ) {
            () throws(CollectionError) in
            do throws(PostgresError) { return try reader.read() } catch { throw CollectionError(error) }
        }
    }

    /// Of a beat that shows only in the tasks of an expected schedule.
    package init(_ reader: EvidenceReader, scheduledQueues: SharedQueueNames, maximumEntrySeries: Int) {
        self.init("evidence", scheduledQueues, maximumEntrySeries, advice: { reader.advice.map { [$0] } ?? [] }) {
            () throws(CollectionError) in
            do throws(PostgresError) { return try reader.read() } catch { throw CollectionError(error) }
        }
    }

    /// Of beats that answer pings.
    package init(_ reader: BeatPingReader) {
        self.init("ping", SharedQueueNames(), 0) { () throws(CollectionError) in
            do throws(RedisError) { return try reader.read() } catch { throw CollectionError(error) }
        }
    }

    private init(
        _ scheduler: String,
        _ scheduledQueues: SharedQueueNames,
        _ maximumEntrySeries: Int,
        isNothing: @escaping (BeatState) -> Bool = { _ in false },
        advice: @escaping () -> [String] = { [] },
        read: @escaping () throws(CollectionError) -> (state: BeatState?, anomalies: [Anomaly])
    ) {
        self.scheduler = scheduler
        self.scheduledQueues = scheduledQueues
        self.maximumEntrySeries = maximumEntrySeries
        self.isNothing = isNothing
        self.advice = advice
        self.read = read
    }

    package func collect() throws(CollectionError) -> Collected {
        let (state, anomalies) = try read()
        var collected = Collected(
            [],
            problems: anomalies.map { CollectionProblem($0) },
            advice: advice()
        )
        guard let state else {
            collected.isEmptyHanded = true
            return collected
        }
        collected.isEmptyHanded = isNothing(state)
        collected.isPreliminary = state.isPreliminary
        scheduledQueues.set(state.schedule?.queues ?? [], of: scheduler)
        collected.families = BeatFamilies.families(
            of: state,
            scheduler: scheduler,
            maximumEntrySeries: maximumEntrySeries
        )
        // Switched off is not left out.
        let entryCount = state.schedule?.entries.count ?? 0
        if maximumEntrySeries > 0 { collected.droppedSeries = max(0, entryCount - maximumEntrySeries) }
        return collected
    }
}

extension BeatState {
    /// Whether neither a beat with its lock nor a schedule was ever seen.
    fileprivate var showsNothing: Bool {
        heartbeat == nil && lock?.isHeld != true && schedule?.entryCount == 0
    }
}
