import Exposition
import LyingRedis
import Reading
import Redis
import Status
import Synchronization

@testable import Celery
@testable import Collection
@testable import Metrics

/// What reads a Redis, and all that is shown of what was read, before one that lies: extremes of numbers, other types,
/// fewer and more elements than were asked for, truncated and nested replies.
let lyingRedisTargets = [
    FuzzTarget("lying-redis-beat", bytes: Liar.corpus) { bytes in
        var configuration = RedBeatConfiguration()
        configuration.isExpected = true
        return lies(bytes, to: beat(configuration))
    },
    FuzzTarget("lying-redis-unlocked-beat", bytes: Liar.corpus) { bytes in
        var configuration = RedBeatConfiguration()
        configuration.lock = .off
        return lies(bytes, to: beat(configuration))
    },
    FuzzTarget("lying-redis-queues", bytes: Liar.corpus) { bytes in
        lies(bytes) { client in
            var configuration = QueueConfiguration()
            configuration.names = ["mail"]
            return ReaderDefinition("queues", source: "broker", \.queues) { [configuration] _ in
                QueueReader(client: client(), configuration: configuration, scheduledQueues: { [:] })
            }
        }
    },
    FuzzTarget("lying-redis-ping", bytes: Liar.corpus) { bytes in
        lies(bytes) { client in
            let configuration = BeatPingConfiguration(
                pattern: "celerybeat@*",
                identity: "fuzz",
                interval: 10,
                grace: 2,
                keys: KombuKeys()
            )
            return ReaderDefinition("ping", source: "broker", \.beats[.ping]) { _ in
                BeatPingReader(client: client(), configuration: configuration)
            }
        }
    },
    FuzzTarget("lying-redis-search", bytes: Liar.corpus) { bytes in
        asked(bytes) { address in
            let search = RedBeatSearch(address, limits: limits, until: .now + .milliseconds(50))
            let outcome = search.run()
            guard outcome.places.count <= 3200 else { return "\(outcome.places.count) places" }
            _ = try RedisServerReader(client: RedisClient(address: address, limits: limits)).read(
                until: .now + .seconds(60)
            )
            let queues = StandingQueues(client: RedisClient(address: address, limits: limits), keys: KombuKeys())
            _ = try queues.look(at: ["mail"], until: .now + limits.timeout, pause: {})
            return nil
        }
    },
    FuzzTarget("lying-redis-sentinel", bytes: Liar.corpus) { bytes in
        asked(bytes) { address in
            var address = address
            let place = RedisEndpoint.unix(path: server.path)
            address.servers = .sentinels(RedisSentinels(endpoints: [place, place], master: "m"))
            let client = RedisClient(address: address, limits: limits)
            for _ in 0..<2 { _ = try? client.pipeline([RedisCommand("GET", "key")], until: .now + limits.timeout) }
            return nil
        }
    },
    FuzzTarget("lying-redis-cluster", bytes: Liar.corpus) { bytes in
        asked(bytes) { address in
            var address = address
            address.servers = .cluster([.tcp(host: Liar.own, port: server.port), .unix(path: server.path)])
            let client = RedisClient(address: address, limits: limits)
            for _ in 0..<2 {
                _ = try? client.pipeline(
                    [RedisCommand("GET", "key"), RedisCommand("GET", "b")],
                    until: .now + limits.timeout
                )
            }
            return nil
        }
    },
]

private let server = LyingRedis()
private let limits = RedisLimits(timeout: .seconds(20), replyBytes: 1 << 20, receivedBytes: 8 << 20)

/// Makes a client of the server that lies.
private typealias Client = @Sendable () -> RedisClient

private func beat(_ configuration: RedBeatConfiguration) -> @Sendable (@escaping Client) -> ReaderDefinition {
    { client in
        ReaderDefinition("redbeat", source: "redbeat", \.beats[.redbeat]) { _ in
            RedBeatReader(client: client(), configuration: configuration)
        }
    }
}

/// Asks the server while an input decides its answers. What it leads to beside itself is not allowed.
private func asked(_ input: [UInt8], _ ask: (RedisAddress) throws -> String?) -> String? {
    let liar = Mutex(Liar(input, port: server.port))
    server.answer { command in liar.withLock { $0.answer(command) } }
    var address = RedisAddress(servers: .single(.unix(path: server.path)), password: "secret")
    address.allowedNodes = AllowedNodes("127.0.0.1:\(server.port)")
    do {
        return try ask(address)
    } catch let error as SourceError {
        if error.reason == .timeout { return "waits for more than there is" }
        return error.description.utf8.count < 3000 ? nil : "an error of \(error.description.utf8.count) bytes"
    } catch {
        return "\(error)"
    }
}

/// Reads three times, and shows what was concluded in each way that there is.
private func lies(_ input: [UInt8], to definition: @Sendable (@escaping Client) -> ReaderDefinition) -> String? {
    asked(input) { address in
        let definition = definition { RedisClient(address: address, limits: limits) }
        let current = CurrentSnapshot([definition], validity: .seconds(60))
        let reader = definition.make(ReaderContext(current))
        for _ in 0..<3 {
            let result = Result { () throws(SourceError) in try reader.read(.now + limits.timeout) }
            current.publish(definition.name, result, took: 0)
            guard case .success(let reading) = result else { continue }
            let snapshot = current.value
            let settings = MetricSettings(maximumEntrySeries: 100, durationBounds: [])
            let families = SnapshotFamilies(snapshot, settings).families
            for family in families {
                for sample in family.samples {
                    guard sample.value.isFinite else { return "\(family.name) is \(sample.value)" }
                    let length = sample.labels.map(\.value.utf8.count).max() ?? 0
                    guard length <= 1000 else { return "\(family.name) has a label of \(length) bytes" }
                }
            }
            if let long = reading.problems.first(where: { $0.description.utf8.count > 3000 }) {
                return "a problem of \(long.description.utf8.count) bytes"
            }
            for format in ExpositionFormat.allCases { _ = format.encode(families) }
            let status = ApplicationStatus(
                target: nil,
                snapshot: snapshot,
                expectedSchedulers: [.redbeat],
                maximumEntries: 100,
                time: 1_795_221_950
            )
            _ = status.json(targets: [TargetSummary(status)], version: "1")
            let summaries = [TargetSummary(status)]
            _ = StatusPage(status, targets: summaries, metricsPath: "/", version: "1", showsAllRows: true).html
        }
        return nil
    }
}
