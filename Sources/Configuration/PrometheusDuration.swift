/// Durations as Prometheus writes them: `500ms`, `10s`, `1h30m`. Units descend and each appears once.
package enum PrometheusDuration {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("y", 31_536_000_000), ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000),
        ("ms", 1),
    ]

    /// Seconds as people read them: at most two units, such as `24m58s`, without the rest.
    package static func text(seconds: Double) -> String {
        guard !seconds.isNaN else { return "0s" }
        var rest = Int64(min(seconds.magnitude.rounded(.down), 1e15)) * 1000
        var parts: [String] = []
        for unit in units.dropLast() where parts.count < 2 {
            let count = rest / unit.milliseconds
            rest %= unit.milliseconds
            if count > 0 { parts.append("\(count)\(unit.name)") } else if !parts.isEmpty { break }
        }
        return parts.isEmpty ? "0s" : parts.joined()
    }

    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = text[...]
        var remainingUnits = units[...]
        var total: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let number = Int64(digits), let index = remainingUnits.firstIndex(where: { $0.name == name }) else {
                return nil
            }
            let (part, overflow) = number.multipliedReportingOverflow(by: remainingUnits[index].milliseconds)
            let (sum, sumOverflow) = total.addingReportingOverflow(part)
            guard !overflow, !sumOverflow else { return nil }
            total = sum
            remainingUnits = remainingUnits[(index + 1)...]
        }
        return text.isEmpty ? nil : .milliseconds(total)
    }
}
