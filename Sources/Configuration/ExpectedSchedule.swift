internal import Celery
internal import TimeZones
internal import YAML

/// Reads what stands under `schedule` in the configuration file: the entries of a beat that leaves no trace but its tasks.
///
///     schedule:
///       - task: shop.orders.import_orders
///         interval: 10s
///       - entry: nightly
///         task: shop.reports.close_day
///         crontab: 30 4 * * *
///         zone: Europe/Paris
///         tolerance: 15m
struct ExpectedSchedule {
    let entries: [ExpectedEntry]
    /// Where it begins, for messages.
    let line: Int

    private static let maximumEntries = 1000
    /// The longest interval and tolerance, in seconds.
    private static let longest = 366.0 * 86_400
    private static let defaultTolerance = 60.0

    /// - Returns: nil where the file has no schedule.
    init?(_ file: ConfigurationFile) throws(ConfigurationError) {
        guard let node = file.schedule else { return nil }
        guard let nodes = node.sequence, !nodes.isEmpty, nodes.count <= Self.maximumEntries else {
            throw file.error(line: node.line, "schedule must be a list of 1 to \(Self.maximumEntries) entries")
        }
        var entries: [ExpectedEntry] = []
        var lines: [String: Int] = [:]
        for node in nodes {
            let entry = try EntryReader(node, file).entry()
            if let line = lines.updateValue(node.line, forKey: entry.name) {
                throw file.error(
                    line: node.line,
                    "the entry \(entry.name) is there already, in line \(line); give one of them another name with entry:"
                )
            }
            entries.append(entry)
        }
        self.entries = entries
        line = node.line
    }

    /// Reads one entry.
    private struct EntryReader {
        private static let keys: Set<String> = ["entry", "task", "interval", "crontab", "zone", "tolerance"]
        /// Names become labels.
        private static let maximumNameLength = 200

        let file: ConfigurationFile
        let line: Int
        private var values: [String: (text: String, line: Int)] = [:]

        init(_ node: YAMLNode, _ file: ConfigurationFile) throws(ConfigurationError) {
            self.file = file
            line = node.line
            guard let pairs = node.mapping else {
                throw file.error(line: node.line, "write an entry as task: NAME and interval: DURATION")
            }
            for pair in pairs {
                guard Self.keys.contains(pair.key) else {
                    let suggestion = Spelling.suggestion(for: pair.key, amongst: Self.keys)
                    throw file.error(line: pair.line, "an entry has no key \(pair.key)\(suggestion)")
                }
                guard let text = pair.value.scalar, !pair.value.isNull, text.count <= Self.maximumNameLength else {
                    throw file.error(
                        line: pair.line,
                        "\(pair.key) must be a single value of 1 to \(Self.maximumNameLength) characters"
                    )
                }
                values[pair.key] = (text, pair.line)
            }
        }

        func entry() throws(ConfigurationError) -> ExpectedEntry {
            guard let task = values["task"] else {
                throw file.error(line: line, "an entry needs task:, the name of the task as the task table has it")
            }
            return ExpectedEntry(
                name: values["entry"]?.text ?? task.text,
                task: task.text,
                timing: try timing(),
                tolerance: try seconds("tolerance", from: 0) ?? ExpectedSchedule.defaultTolerance
            )
        }

        private func timing() throws(ConfigurationError) -> ExpectedEntry.Timing {
            let interval = try seconds("interval", from: 0.1)
            switch (interval, values["crontab"]) {
            case (let seconds?, nil):
                if let zone = values["zone"] {
                    throw file.error(line: zone.line, "zone is for crontab; an interval has none, so remove it")
                }
                return .interval(seconds: seconds)
            case (nil, let crontab?):
                return .crontab(try self.crontab(crontab.text, line: crontab.line), try zone())
            case (nil, nil):
                throw file.error(line: line, "an entry needs interval: (as in 10s) or crontab: (as in 30 4 * * *)")
            case (_?, let crontab?):
                throw file.error(line: crontab.line, "an entry has interval: or crontab:, not both; remove one")
            }
        }

        private func crontab(_ text: String, line: Int) throws(ConfigurationError) -> Crontab {
            // A blank beside a comma parts no fields: `0, 30 4 * * *` is Celery's `crontab(minute="0, 30", hour=4)`.
            var fields: [String] = []
            for word in text.split(whereSeparator: \.isWhitespace) {
                if let last = fields.last, last.hasSuffix(",") || word.hasPrefix(",") {
                    fields[fields.count - 1] = last + word
                } else {
                    fields.append(String(word))
                }
            }
            guard fields.count == 5,
                let crontab = Crontab(
                    minute: fields[0],
                    hour: fields[1],
                    dayOfWeek: fields[4],
                    dayOfMonth: fields[2],
                    monthOfYear: fields[3]
                )
            else {
                throw file.error(
                    line: line,
                    "\"\(text)\" is no crontab that Celery knows; write minute, hour, day of month, month, day of week (0 is "
                        + "Sunday), as in 30 4 * * 1-5"
                )
            }
            return crontab
        }

        private func zone() throws(ConfigurationError) -> TimeZone {
            guard let zone = values["zone"] else { return .utc }
            return try file.zone(zone.text, line: zone.line)
        }

        private func seconds(_ key: String, from minimum: Double) throws(ConfigurationError) -> Double? {
            guard let value = values[key] else { return nil }
            guard let seconds = PrometheusDuration.parse(value.text).map({ $0 / .seconds(1) }),
                (minimum...ExpectedSchedule.longest).contains(seconds)
            else {
                throw file.error(
                    line: value.line,
                    "\(key) \"\(value.text)\" is none; write a duration such as 30s, 5m or 24h, at least \(Int(minimum * 1000))ms "
                        + "and at most a year"
                )
            }
            return seconds
        }
    }
}
