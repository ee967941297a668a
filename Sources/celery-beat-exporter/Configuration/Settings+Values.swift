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

    /// As YAML and people write it.
    func truth(_ flagValue: Bool?, _ flag: String) throws(ConfigurationError) -> Bool? {
        guard let setting = find(flagValue.map { $0 ? "true" : "false" }, flag) else { return nil }
        switch setting.value.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw ConfigurationError(setting, "must be true or false")
        }
    }
}

extension StringProtocol {
    /// The same without blanks and line breaks at its ends, and without the byte order mark that some editors write first.
    var trimmed: String {
        func isBlank(_ character: Character) -> Bool { character.isWhitespace || character == "\u{feff}" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
