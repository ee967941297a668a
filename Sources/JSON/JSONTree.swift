/// A JSON text in the making. Members of objects keep their order.
package indirect enum JSONTree {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JSONTree])
    case object([(name: String, value: JSONTree)])

    /// Null for what is nil.
    package init(_ value: Bool?) { self = value.map { .bool($0) } ?? .null }
    package init(_ value: Double?) { self = value.map { .number($0) } ?? .null }
    package init(_ value: Int?) { self = value.map { .number(Double($0)) } ?? .null }
    package init(_ value: String?) { self = value.map { .text($0) } ?? .null }

    /// A list of values, null for nil.
    package init<Value>(_ values: [Value]?, _ tree: (Value) -> JSONTree) {
        self = values.map { .list($0.map(tree)) } ?? .null
    }

    /// Appends the text in UTF-8, without blanks.
    package func write(to output: inout [UInt8]) {
        switch self {
        case .null: output += "null".utf8
        case .bool(let value): output += (value ? "true" : "false").utf8
        case .number(let value): output += Self.text(value).utf8
        case .text(let text): output += JSONText.quoted(text).utf8
        case .list(let values):
            output.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                value.write(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                output += JSONText.quoted(member.name).utf8
                output.append(UInt8(ascii: ":"))
                member.value.write(to: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// JSON knows neither infinity nor what is no number: both are not known.
    private static func text(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        // Whole numbers up to 2^53 are exact in a Double.
        if value == value.rounded(), value.magnitude < 9_007_199_254_740_992 { return String(Int64(value)) }
        return value.description
    }
}
