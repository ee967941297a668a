extension String {
    /// UTF-8 bytes that a line from elsewhere may have, on a page, in an error and in the log.
    package static let maximumLineBytes = 1024

    /// The same as a line: without line breaks, what would steer a terminal written out, and of bounded length.
    package var line: String {
        let text = cut(toBytes: Self.maximumLineBytes)
        guard text.unicodeScalars.contains(where: Self.isControl) else { return text }
        return text.unicodeScalars.reduce(into: "") { line, scalar in
            line += Self.isControl(scalar) ? scalar.escaped(asASCII: true) : String(scalar)
        }
    }

    /// Its beginning; where that is not all, it says so.
    package func cut(toBytes maximum: Int) -> String {
        let bytes = utf8
        guard bytes.count > maximum else { return self }
        var end = bytes.index(bytes.startIndex, offsetBy: maximum)
        while bytes[end] & 0xc0 == 0x80 { bytes.formIndex(before: &end) }
        return "\(self[..<end])… (\(bytes.count) bytes)"
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
    }
}
