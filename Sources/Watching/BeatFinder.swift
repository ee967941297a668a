package import Celery
internal import Collection
package import Configuration
internal import Postgres
internal import Redis
package import Status
internal import System

/// Looks for a beat that is not where it should be: under other prefixes, in other databases and schemas of the servers that
/// are known.
package struct BeatFinder {
    private let target: Target
    private let timeout: Duration

    /// For how long one server is looked through.
    private static let patience = Duration.seconds(5)

    /// - Parameter timeout: of each question to a server.
    package init(_ target: Target, timeout: Duration) {
        self.target = target
        self.timeout = timeout
    }

    /// - Parameter schedulers: of which nothing was found; their servers answer.
    package func search(for schedulers: Set<Scheduler>) -> BeatSearch {
        var search = BeatSearch()
        if schedulers.contains(.redbeat) { searchRedis(&search) }
        if schedulers.contains(.django), let address = target.database {
            searchPostgres(address, &search)
        }
        return search
    }

    // MARK: RedBeat

    private func searchRedis(_ search: inout BeatSearch) {
        guard let own = target.redBeatAddress else { return }
        search.lookedFor.append("RedBeat with the prefix \(quoted(target.redBeat.keyPrefix)) in \(own.redacted)")
        var broker = target.broker?.redis
        // One search finds what is in all databases of a server.
        broker?.database = own.database
        var addresses = [own]
        if let broker, broker != own { addresses.append(broker) }
        for address in addresses {
            let outcome = RedBeatSearch(
                address,
                limits: RedisLimits(timeout: timeout),
                until: .now + Self.patience
            ).run()
            for place in outcome.places {
                let isOwnDatabase = address == own && place.database == own.database
                let isOwnPrefix = place.prefix == target.redBeat.keyPrefix
                guard !isOwnDatabase || !isOwnPrefix else { continue }
                var there = address
                there.database = place.database
                let settings = [
                    isOwnDatabase ? nil : "--redbeat.url=\(quoted(Self.url(there)))",
                    isOwnPrefix ? nil : "--redbeat.key-prefix=\(quoted(place.prefix))",
                ].compactMap(\.self)
                search.places.append(
                    BeatSearch.Place(
                        "RedBeat with the prefix \(quoted(place.prefix)) in \(there.redacted)"
                            + (place.isLocked ? ", its lock held" : ""),
                        setting: settings.joined(separator: " ")
                    )
                )
            }
            search.gaps += outcome.gaps.map { $0.cut() }
        }
    }

    /// As it is written in the setting, but for the secret.
    private static func url(_ address: RedisAddress) -> String {
        guard address.password != nil, let scheme = address.redacted.firstRange(of: "://") else {
            return address.redacted
        }
        var url = address.redacted
        url.insert(contentsOf: "\(address.user ?? ""):PASSWORD@", at: scheme.upperBound)
        return url
    }

    /// As a shell takes it.
    private func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x40...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "_:/.,=-%+[]".utf8.contains(byte)
        }
        return isPlain && !text.isEmpty
            ? text : "'\(text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
    }

    // MARK: django-celery-beat

    private func searchPostgres(_ address: PostgresAddress, _ search: inout BeatSearch) {
        search.lookedFor.append("django-celery-beat's tables in the search path of \(address.redacted)")
        let outcome = DatabaseSchedulerSearch(address, timeout: timeout, until: .now + Self.patience).run()
        for place in outcome.places {
            let there = place.database.map { address.of(database: $0) } ?? address
            var settings: [String] = []
            if let database = place.database {
                settings.append("the database in --database.url to \(quoted(database))")
            }
            if place.schema != "public" {
                settings.append("?options=-csearch_path%3D\(place.schema) at the end of --database.url")
            }
            if !place.isOpen {
                settings.append("the right: GRANT USAGE ON SCHEMA \(place.schema) TO the exporter's role")
            }
            guard !settings.isEmpty else { continue }
            search.places.append(
                BeatSearch.Place(
                    "a table of django-celery-beat in the schema \(quoted(place.schema)) of \(there.redacted)",
                    setting: settings.joined(separator: ", and ")
                )
            )
        }
        search.gaps += outcome.gaps.map { $0.cut() }
    }
}
