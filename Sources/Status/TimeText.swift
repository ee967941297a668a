internal import Glibc

/// Times and durations in words, always the same wherever the exporter runs.
package enum TimeText {
    /// A duration in its two largest units: `3 s`, `12 min`, `2 h 5 min`, `3 d 4 h`. Negative ones are 0.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e12 else { return "for ever" }
        let total = Int(max(0, seconds))
        func text(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
            "\(large) \(largeUnit)" + (small > 0 ? " \(small) \(smallUnit)" : "")
        }
        return switch total {
        case ..<60: "\(total) s"
        // Seconds matter as long as one waits for something.
        case ..<600: text(total / 60, "min", total % 60, "s")
        case ..<3600: "\(total / 60) min"
        case ..<86_400: text(total / 3600, "h", total % 3600 / 60, "min")
        default: text(total / 86_400, "d", total % 86_400 / 3600, "h")
        }
    }

    /// How long ago a time was, or how far ahead it is: `3 s ago`, `in 12 min`.
    static func distance(from time: Double, at now: Double) -> String {
        let seconds = now - time
        if seconds >= 1 { return "\(duration(seconds)) ago" }
        return seconds > -1 ? "now" : "in \(duration(-seconds))"
    }

    /// The time in UTC, with its date where that is another than at `now`: `14:03:27`, `2026-11-20 14:03:27`. Nil for what no
    /// calendar has.
    static func utc(_ time: Double, at now: Double) -> String? {
        guard let text = utc(time) else { return nil }
        return utc(now)?.prefix(10) == text.prefix(10) ? String(text.dropFirst(11)) : text
    }

    /// With its date: `2026-11-20 14:03:27`.
    package static func utc(_ time: Double) -> String? {
        // The years 0 to 9999.
        guard (-62_167_219_200..<253_402_300_800).contains(time) else { return nil }
        var seconds = time_t(time.rounded(.down))
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ number: CInt, _ count: Int = 2) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        return "\(digits(parts.tm_year + 1900, 4))-\(digits(parts.tm_mon + 1))-\(digits(parts.tm_mday)) "
            + "\(digits(parts.tm_hour)):\(digits(parts.tm_min)):\(digits(parts.tm_sec))"
    }
}
