/// Reads JSON as leniently as Python's `json.loads`, because Python wrote it: `NaN` and `Infinity` are numbers, whole
/// numbers have any length, surrogates may stand alone (they become U+FFFD), and the last of two equal keys wins.
///
/// Own code rather than a library: Foundation's decoder refuses some of these, and would cost the process the memory
/// that the whole exporter otherwise needs.
package struct JSONParser {
    /// Deeper nesting is refused: it would exhaust the stack.
    static let maximumDepth = 64
    /// A text with more values is refused, beside those that nobody needs: each takes many times the memory that it has
    /// bytes.
    package static let maximumValues = 10_000

    private var rest: ArraySlice<UInt8>
    private let leftOut: Set<String>
    /// Whether what is read now is not kept, only checked.
    private var isSkipping = false
    private var valueCount = 0

    /// The value in `bytes`, or nil when they are not one JSON value.
    /// - Parameter leavingOut: members of the outermost object whose values nobody needs; they are null in the result.
    package static func parse(_ bytes: [UInt8], leavingOut: Set<String> = []) -> JSONValue? {
        var parser = JSONParser(rest: bytes[...], leftOut: leavingOut)
        guard let value = parser.value(depth: 0) else { return nil }
        parser.skipSpace()
        return parser.rest.isEmpty ? value : nil
    }

    /// Whether it is because of their number of values that `bytes` cannot be read.
    package static func hasTooMuch(_ bytes: [UInt8], leavingOut: Set<String> = []) -> Bool {
        var parser = JSONParser(rest: bytes[...], leftOut: leavingOut)
        return parser.value(depth: 0) == nil && parser.valueCount > maximumValues
    }

    private mutating func value(depth: Int) -> JSONValue? {
        guard depth < Self.maximumDepth else { return nil }
        if !isSkipping { valueCount += 1 }
        guard valueCount <= Self.maximumValues else { return nil }
        skipSpace()
        switch rest.first {
        case UInt8(ascii: "{"): return object(depth: depth)
        case UInt8(ascii: "["): return array(depth: depth)
        case UInt8(ascii: "\""): return string().map { .string($0) }
        case UInt8(ascii: "t"): return take("true") ? .boolean(true) : nil
        case UInt8(ascii: "f"): return take("false") ? .boolean(false) : nil
        case UInt8(ascii: "n"): return take("null") ? .null : nil
        case UInt8(ascii: "N"): return take("NaN") ? .number(.nan) : nil
        case UInt8(ascii: "I"): return take("Infinity") ? .number(.infinity) : nil
        default: return number()
        }
    }

    private mutating func object(depth: Int) -> JSONValue? {
        rest.removeFirst()
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take("}") { return .object(members) }
        while true {
            skipSpace()
            guard rest.first == UInt8(ascii: "\""), let key = string() else { return nil }
            skipSpace()
            guard take(":") else { return nil }
            let isLeftOut = depth == 0 && leftOut.contains(key)
            if isLeftOut { isSkipping = true }
            guard let member = value(depth: depth + 1) else { return nil }
            if isLeftOut { isSkipping = false }
            if !isSkipping { members[key] = isLeftOut ? .null : member }
            skipSpace()
            if take("}") { return .object(members) }
            guard take(",") else { return nil }
        }
    }

    private mutating func array(depth: Int) -> JSONValue? {
        rest.removeFirst()
        var values: [JSONValue] = []
        skipSpace()
        if take("]") { return .array(values) }
        while true {
            guard let element = value(depth: depth + 1) else { return nil }
            if !isSkipping { values.append(element) }
            skipSpace()
            if take("]") { return .array(values) }
            guard take(",") else { return nil }
        }
    }

    private mutating func number() -> JSONValue? {
        if take("-Infinity") { return .number(-.infinity) }
        let digits = rest.prefix { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
                UInt8(ascii: "e"), UInt8(ascii: "E"):
                true
            default: false
            }
        }
        guard let first = digits.first, first == UInt8(ascii: "-") || (48...57).contains(first),
            let number = Double(String(decoding: digits, as: UTF8.self))
        else { return nil }
        rest = rest.dropFirst(digits.count)
        return .number(number)
    }

    private mutating func string() -> String? {
        rest.removeFirst()
        var units: [UInt8] = []
        while true {
            // Texts can be megabytes: taken in runs, not by bytes.
            let plain = rest.prefix { $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
            if !isSkipping { units.append(contentsOf: plain) }
            rest = rest.dropFirst(plain.count)
            switch rest.popFirst() {
            case UInt8(ascii: "\""):
                return String(decoding: units, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = escape() else { return nil }
                if !isSkipping { units.append(contentsOf: escaped.utf8) }
            default:
                return nil
            }
        }
    }

    /// What follows a backslash.
    private mutating func escape() -> Character? {
        switch rest.popFirst() {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            guard let unit = hexadecimalUnit() else { return nil }
            guard UTF16.isLeadSurrogate(unit) else {
                return Unicode.Scalar(unit).map { Character($0) } ?? "\u{fffd}"
            }
            // A pair of escapes makes one character; half a pair none.
            let afterLead = rest
            if take("\\u"), let trail = hexadecimalUnit(), UTF16.isTrailSurrogate(trail) {
                return Character(UTF16.decode(UTF16.EncodedScalar([unit, trail])))
            }
            rest = afterLead
            return "\u{fffd}"
        default: return nil
        }
    }

    private mutating func hexadecimalUnit() -> UInt16? {
        let digits = rest.prefix(4)
        guard digits.count == 4, digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-"),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { return nil }
        rest = rest.dropFirst(4)
        return unit
    }

    private mutating func take(_ text: StaticString) -> Bool {
        let matches = text.withUTF8Buffer { rest.starts(with: $0) }
        if matches { rest = rest.dropFirst(text.utf8CodeUnitCount) }
        return matches
    }

    private mutating func skipSpace() {
        rest = rest.drop { $0 == 0x20 || $0 == 0x0a || $0 == 0x0d || $0 == 0x09 }
    }
}
