// Settings as values of their types, each within its bounds.

extension Settings {
    func duration(
        _ flagValue: String?,
        _ flag: String,
        in range: ClosedRange<Double>
    ) throws(ConfigurationError) -> Duration? {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let duration = PrometheusDuration.parse(setting.value) else {
            throw ConfigurationError(setting, "not a duration; write 500ms, 10s, 5m or 1h30m")
        }
        guard range.contains(duration / .seconds(1)) else {
            throw ConfigurationError(setting, "must be from \(range.lowerBound) to \(range.upperBound) seconds")
        }
        return duration
    }

    func seconds(_ flagValue: String?, _ flag: String, in range: ClosedRange<Double>) throws(ConfigurationError)
        -> Double?
    {
        try duration(flagValue, flag, in: range).map { $0 / .seconds(1) }
    }

    func number(_ flagValue: String?, _ flag: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let number = Int(setting.value), range.contains(number) else {
            throw ConfigurationError(setting, "must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func choice<Value>(_ flagValue: String?, _ flag: String, _ choices: [String: Value]) throws(ConfigurationError)
        -> Value?
    {
        guard let setting = find(flagValue, flag) else { return nil }
        guard let value = choices[setting.value] else {
            throw ConfigurationError(setting, "must be one of \(choices.keys.sorted().joined(separator: ", "))")
        }
        return value
    }

    func truth(_ flagValue: Bool?, _ flag: String) throws(ConfigurationError) -> Bool? {
        let choices = ["yes": true, "no": false, "true": true, "false": false]
        return try choice(flagValue.map { $0 ? "yes" : "no" }, flag, choices)
    }
}

extension Substring {
    var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
