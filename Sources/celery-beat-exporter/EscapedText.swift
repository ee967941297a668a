/// Foreign data on its way to a terminal or a log.
enum EscapedText {
    /// A control character, also one beyond ASCII, as JSON escapes it; nil for any other.
    static func escape(_ scalar: Unicode.Scalar) -> String? {
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: return nil
        }
    }

    /// The text with its control characters escaped: one line, which sends nothing to the terminal.
    static func line(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            if let escaped = escape(scalar) { line += escaped } else { line.unicodeScalars.append(scalar) }
        }
        return line
    }
}
