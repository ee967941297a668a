internal import Celery
package import Collection
package import Configuration
internal import Redis
package import Status

extension ApplicationStatus {
    /// What is known of an application, told by what is set for it.
    ///
    /// - Parameters:
    ///   - name: its name in the configuration file; nil for the one that flags describe.
    ///   - search: where a beat was looked for that was not found.
    ///   - time: now, by the exporter's clock.
    package init(of target: Target, named name: String?, _ snapshot: Snapshot, search: BeatSearch?, at time: Double) {
        self.init(
            target: name,
            snapshot: snapshot,
            expectedSchedulers: target.expectedSchedulers,
            maximumEntries: target.maximumEntrySeries,
            search: search,
            settings: target.beatSettings,
            time: time
        )
    }
}

extension Target {
    /// What words about its beats name.
    package var beatSettings: BeatSettings {
        var settings = BeatSettings()
        settings.keyPrefix = redBeat.keyPrefix
        settings.lockKey = redBeat.lockKey
        settings.isLockTimeoutSet = redBeat.lockTimeout != nil
        settings.database = redBeatAddress?.database
        settings.isInBroker = redBeatAddress != nil && redBeatAddress == broker?.redis
        settings.redisCommand = redBeatAddress?.commandLine(orFor: "REDBEAT_URL") ?? settings.redisCommand
        settings.pingPattern = pingPattern
        return settings
    }
}
