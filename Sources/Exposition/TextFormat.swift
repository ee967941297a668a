/// The Prometheus text format, version 0.0.4.
/// Source: https://prometheus.io/docs/instrumenting/exposition_formats/
package enum TextFormat {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Writes the families in the order given, each with HELP and TYPE. Families without samples are left out.
    package static func encode(_ families: [MetricFamily]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(families.reduce(0) { $0 + 128 + $1.samples.count * 96 })
        for family in families where !family.samples.isEmpty {
            append("# HELP ", to: &output)
            append(family.name, to: &output)
            append(" ", to: &output)
            append(family.help, escapingQuotes: false, to: &output)
            append("\n# TYPE ", to: &output)
            append(family.name, to: &output)
            append(" ", to: &output)
            append(family.type.rawValue, to: &output)
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
        return output
    }

    private static func append(_ labels: [Label], to output: inout [UInt8]) {
        guard !labels.isEmpty else { return }
        var separator = "{"
        for label in labels {
            append(separator, to: &output)
            append(label.name, to: &output)
            append("=\"", to: &output)
            append(label.value, escapingQuotes: true, to: &output)
            append("\"", to: &output)
            separator = ","
        }
        append("}", to: &output)
    }

    private static func append(_ text: String, to output: inout [UInt8]) {
        output.append(contentsOf: text.utf8)
    }

    private static func append(_ text: String, escapingQuotes: Bool, to output: inout [UInt8]) {
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
