internal import Collection
package import Configuration
package import Logging
internal import Synchronization
package import System

/// The applications that are watched, and the configuration that says how.
package final class Exporter: Sendable {
    private struct State {
        var configuration: Configuration
        var target: RunningTarget
        var targets: [String: RunningTarget]
        var changes = 0
    }

    private let read: @Sendable () throws(ConfigurationError) -> Configuration
    private let logger: Logger
    private let reloads = ConfigurationReloads()
    private let state: Mutex<State>
    private let stopping = Event()
    /// One reload at a time.
    private let reloading = Mutex(())

    /// - Parameter read: reads the configuration anew, for reloads.
    package init(
        _ configuration: Configuration,
        logger: Logger,
        read: @escaping @Sendable () throws(ConfigurationError) -> Configuration
    ) {
        self.read = read
        self.logger = logger
        let own = Self.ownTarget(configuration, reloads, logger)
        let targets = configuration.targets.map { ($0, Self.target(named: $0, $1, configuration, logger)) }
        state = Mutex(
            State(
                configuration: configuration,
                target: own,
                targets: Dictionary(uniqueKeysWithValues: targets)
            )
        )
    }

    /// What flags and environment tell of, together with the exporter itself.
    package var target: RunningTarget { state.withLock { $0.target } }

    /// Those of the configuration file, by name.
    package var targets: [String: RunningTarget] { state.withLock { $0.targets } }

    /// How often the configuration has changed: after each change other applications may be watched.
    package var changes: Int { state.withLock { $0.changes } }

    package func target(named name: String) -> RunningTarget? { state.withLock { $0.targets[name] } }

    /// Whether the first collection of every source has ended, in success or failure.
    package var isComplete: Bool {
        state.withLock {
            $0.target.snapshot.value.isComplete && $0.targets.values.allSatisfy(\.snapshot.value.isComplete)
        }
    }

    package func start() throws(ThreadShortage) {
        let state = state.withLock { $0 }
        for warning in Self.warnings(of: state.configuration) { logger.warning("\(warning)") }
        // The thread owns the exporter until it stops, and starts what could not be started.
        guard WorkThread.detach({ self.watch() }) else { throw ThreadShortage() }
        for target in [state.target] + state.targets.values { target.start() }
    }

    /// Between two looks at whether beats were found.
    private static let watchInterval = Duration.seconds(3)

    /// One application after the other: a search may take seconds, and is in no hurry.
    private func watch() {
        repeat {
            for target in [target] + targets.values where !stopping.wait(until: .now) {
                target.start()
                target.beatWatch.look()
            }
        } while !stopping.wait(until: .now + Self.watchInterval)
    }

    package func stop() {
        stopping.raise()
        state.withLock { state in
            for target in [state.target] + state.targets.values { target.stop() }
        }
    }

    /// Reads the configuration again. What has not changed goes on undisturbed; what is wrong leaves all as it was.
    package func reload() throws(ConfigurationError) {
        try reloading.withLock { _ throws(ConfigurationError) in
            do throws(ConfigurationError) {
                let configuration = try read()
                // Before a collector that the change starts can ask.
                reloads.note(isSuccess: true)
                change(to: configuration)
                logger.info("configuration reloaded")
            } catch {
                reloads.note(isSuccess: false)
                logger.error("configuration not reloaded; the old one goes on", metadata: ["error": "\(error)"])
                throw error
            }
        }
    }

    private func change(to configuration: Configuration) {
        let old = state.withLock { $0 }
        for warning in Self.warnings(of: configuration) { logger.warning("\(warning)") }
        if !configuration.servesLike(old.configuration) {
            logger.warning("web.* and log.* have changed; that takes a restart")
        }
        let isSameSchedule = configuration.schedule == old.configuration.schedule
        let keepsOwn = isSameSchedule && configuration.target == old.configuration.target
        let own = keepsOwn ? old.target : Self.ownTarget(configuration, reloads, logger)
        var targets: [String: RunningTarget] = [:]
        for (name, target) in configuration.targets {
            let running = old.targets[name]
            let keeps = isSameSchedule && running?.target == target
            targets[name] = keeps ? running : Self.target(named: name, target, configuration, logger)
        }
        state.withLock { [targets] in
            $0 = State(configuration: configuration, target: own, targets: targets, changes: $0.changes + 1)
        }
        if !keepsOwn {
            old.target.stop()
            own.start()
        }
        for (name, running) in old.targets where targets[name] !== running { running.stop() }
        for (name, running) in targets where old.targets[name] !== running { running.start() }
    }

    private static func warnings(of configuration: Configuration) -> [String] {
        configuration.target.warnings
            + configuration.targets.sorted { $0.key < $1.key }.flatMap { name, target in
                target.warnings.map { "target \(name): \($0)" }
            }
    }

    private static func ownTarget(
        _ configuration: Configuration,
        _ reloads: ConfigurationReloads,
        _ logger: Logger
    ) -> RunningTarget {
        let process = ReaderDefinition("process", source: nil, \.process) { _ in
            ProcessReader(version: Version.current, reloads: reloads)
        }
        return RunningTarget(
            configuration.target,
            configuration.schedule,
            identity: configuration.identity,
            others: [process],
            logger: logger
        )
    }

    private static func target(
        named name: String,
        _ target: Target,
        _ configuration: Configuration,
        _ logger: Logger
    ) -> RunningTarget {
        var logger = logger
        logger[metadataKey: "target"] = "\(name)"
        return RunningTarget(
            target,
            configuration.schedule,
            identity: "\(configuration.identity).\(name)",
            logger: logger
        )
    }
}
