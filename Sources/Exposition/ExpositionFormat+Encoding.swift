extension ExpositionFormat {
    /// Writes the families in the order given, each with what describes it. Families without samples are left out.
    package func encode(_ families: [MetricFamily]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(families.reduce(0) { $0 + 128 + $1.samples.count * 96 })
        for family in families where !family.samples.isEmpty {
            let name = describedName(of: family)
            append("# HELP ", to: &output)
            append(name, to: &output)
            append(" ", to: &output)
            append(family.help, escapingQuotes: self == .openMetrics, to: &output)
            append("\n# TYPE ", to: &output)
            append(name, to: &output)
            append(" ", to: &output)
            append(family.type.rawValue, to: &output)
            if self == .openMetrics, let unit = Self.unit(of: name) {
                append("\n# UNIT ", to: &output)
                append(name, to: &output)
                append(" ", to: &output)
                append(unit, to: &output)
            }
            append("\n", to: &output)
            for sample in family.samples {
                append(family.name, to: &output)
                append(sample.suffix, to: &output)
                append(sample.labels, to: &output)
                append(" ", to: &output)
                append(SampleValue.text(sample.value), to: &output)
                append("\n", to: &output)
            }
        }
        if self == .openMetrics { append("# EOF\n", to: &output) }
        return output
    }

    /// OpenMetrics names a counter without the `_total` of its samples.
    private func describedName(of family: MetricFamily) -> String {
        guard self == .openMetrics, family.type == .counter, family.name.hasSuffix("_total") else { return family.name }
        return String(family.name.dropLast("_total".count))
    }

    private static func unit(of name: String) -> String? {
        ["seconds", "bytes"].first { name.hasSuffix("_" + $0) }
    }

    private func append(_ labels: [Label], to output: inout [UInt8]) {
        guard !labels.isEmpty else { return }
        var separator = "{"
        for label in labels {
            append(separator, to: &output)
            append(label.name, to: &output)
            append("=\"", to: &output)
            append(label.value, escapingQuotes: true, to: &output)
            // OpenMetrics has the bounds of buckets as fractions: le="10.0".
            if self == .openMetrics, label.name == "le", Int64(label.value) != nil { append(".0", to: &output) }
            append("\"", to: &output)
            separator = ","
        }
        append("}", to: &output)
    }

    private func append(_ text: String, to output: inout [UInt8]) {
        guard text.utf8.withContiguousStorageIfAvailable({ output.append(contentsOf: $0) }) == nil else { return }
        output.append(contentsOf: text.utf8)
    }

    private func append(_ text: String, escapingQuotes: Bool, to output: inout [UInt8]) {
        let isPlain = !text.utf8.contains { byte in
            byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\"")
        }
        guard !isPlain else { return append(text, to: &output) }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\", to: &output)
            case UInt8(ascii: "\n"): append("\\n", to: &output)
            case UInt8(ascii: "\"") where escapingQuotes: append("\\\"", to: &output)
            default: output.append(byte)
            }
        }
    }
}
