internal import Celery
internal import HTTP

/// Reads settings that are lists with commas between, each in its own way.
enum SettingLists {
    /// Patterns of task names.
    static func patterns(_ setting: Settings.Found) throws(ConfigurationError) -> [String] {
        let patterns = names(setting)
        guard patterns.count <= 100 else { throw ConfigurationError(setting, "at most 100 patterns") }
        return patterns
    }

    static func queues(_ setting: Settings.Found) throws(ConfigurationError) -> [String] {
        let queues = names(setting)
        let maximum = QueueConfiguration().maximumQueues
        guard queues.count <= maximum else { throw ConfigurationError(setting, "at most \(maximum) queues") }
        return queues
    }

    static func prioritySteps(_ setting: Settings.Found) throws(ConfigurationError) -> [Int] {
        let numbers = setting.value.split(separator: ",").map { Int($0.trimmed) }
        let valid = numbers.compactMap { $0 }.filter { (0...255).contains($0) }
        guard valid.count == numbers.count, !valid.isEmpty, valid.count <= 32, Set(valid).count == valid.count else {
            throw ConfigurationError(setting, "must be different numbers from 0 to 255, as in 0,3,6,9")
        }
        return valid.sorted()
    }

    static func windows(_ setting: Settings.Found) throws(ConfigurationError) -> [TaskWindow] {
        var windows: [TaskWindow] = []
        for name in setting.value.split(separator: ",").map(\.trimmed) {
            let seconds = PrometheusDuration.parse(name).map { Int64($0 / .seconds(1)) } ?? 0
            guard (60...21_600).contains(seconds), windows.count < 8 else {
                throw ConfigurationError(setting, "must be at most 8 durations from 1m to 6h, as in 5m,1h")
            }
            windows.append(TaskWindow(name: name, seconds: seconds))
        }
        guard Set(windows.map(\.seconds)).count == windows.count else {
            throw ConfigurationError(setting, "must be different durations, as in 5m,1h")
        }
        return windows
    }

    /// Upper bounds of a histogram's buckets, in seconds.
    static func durationBounds(_ setting: Settings.Found) throws(ConfigurationError) -> [Double] {
        let bounds = setting.value.split(separator: ",").map { Double($0.trimmed) ?? .nan }
        guard (1...50).contains(bounds.count), bounds.allSatisfy({ $0 > 0 && $0 < 1e9 }),
            zip(bounds, bounds.dropFirst()).allSatisfy(<)
        else {
            throw ConfigurationError(setting, "must be 1 to 50 ascending numbers of seconds, as in 0.1,1,10,60")
        }
        return bounds
    }

    static func listenAddresses(_ setting: Settings.Found) throws(ConfigurationError) -> [ListenAddress] {
        var addresses: [ListenAddress] = []
        for text in setting.value.split(separator: ",") {
            guard let address = ListenAddress(text.trimmed) else {
                throw ConfigurationError(setting, "write host:port, [IPv6]:port or :port, as in 127.0.0.1:9808")
            }
            addresses.append(address)
        }
        guard !addresses.isEmpty, addresses.count <= 16 else {
            throw ConfigurationError(setting, "give 1 to 16 addresses, as in 127.0.0.1:9808")
        }
        return addresses
    }

    private static func names(_ setting: Settings.Found) -> [String] {
        setting.value.split(separator: ",").map(\.trimmed).filter { !$0.isEmpty }
    }
}
