internal import Synchronization
internal import TimeZones

/// Zones that entries name, read from the system's files once.
enum TimeZoneCache {
    /// Names come from foreign data, so their number is bounded.
    private static let maximumZones = 1000
    private static let zones = Mutex<[RedBeatEntry.Zone: TimeZone]>([:])

    /// - Returns: nil when the system has no such zone, until someone installs it.
    static func zone(_ zone: RedBeatEntry.Zone) -> TimeZone? {
        switch zone {
        case .offset(let seconds):
            return TimeZone(fixedOffset: seconds)
        case .identifier(let identifier):
            return zones.withLock { zones in
                if let known = zones[zone] { return known }
                if zones.count >= maximumZones { zones.removeAll() }
                let loaded = TimeZone(identifier: identifier)
                if let loaded { zones[zone] = loaded }
                return loaded
            }
        }
    }
}
