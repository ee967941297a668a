extension String {
    /// UTF-8 bytes that a line from elsewhere may have, on a page, in an error and in the log.
    package static let maximumLineBytes = 1024

    /// The same as a line: without line breaks, what would steer a terminal written out, and of bounded length.
    package var line: String {
        let text = cut(toBytes: Self.maximumLineBytes)
        guard text.unicodeScalars.contains(where: \.isControl) else { return text }
        return text.unicodeScalars.reduce(into: "") { $1.append(to: &$0) }
    }

    /// Its beginning; where that is not all, it says so.
    package func cut(toBytes maximum: Int) -> String {
        let bytes = utf8
        guard bytes.count > maximum else { return self }
        var end = bytes.index(bytes.startIndex, offsetBy: maximum)
        while bytes[end] & 0xc0 == 0x80 { bytes.formIndex(before: &end) }
        return "\(self[..<end])… (\(bytes.count) bytes)"
    }
}

extension Unicode.Scalar {
    /// Whether it steers a terminal or ends a line, even one beyond ASCII.
    fileprivate var isControl: Bool {
        value < 0x20 || (0x7f...0x9f).contains(value) || (0x2028...0x2029).contains(value)
    }

    /// Appends it to a text, as JSON writes it where it is a control character.
    package func append(to text: inout String) {
        switch self {
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case _ where isControl:
            let digits = String(value, radix: 16)
            text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: text.unicodeScalars.append(self)
        }
    }
}
