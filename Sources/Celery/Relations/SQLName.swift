/// Names in SQL. Source: PostgreSQL's manual, "Identifiers and Key Words".
package enum SQLName {
    /// Bytes of a name.
    private static let maximumLength = 63

    private static func isPlain(_ name: some StringProtocol) -> Bool {
        guard let first = name.utf8.first, !(48...57).contains(first) else { return false }
        return name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "_") }
    }

    /// A name as SQL wants it: in quotes where it needs them.
    static func quoted(_ name: String) -> String {
        if isPlain(name) { return name }
        return "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    /// The parts of `table`, `schema.table` or `"Schema"."Table"`: what is not quoted counts as lower case.
    ///
    /// - Returns: nil where that is no name of a table.
    package static func parts(_ text: String) -> [String]? {
        var parts: [String] = []
        var rest = Substring(text)
        while true {
            var part = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while true {
                    guard let quote = rest.firstIndex(of: "\"") else { return nil }
                    part += rest[..<quote]
                    rest = rest[rest.index(after: quote)...]
                    guard rest.first == "\"" else { break }
                    part += "\""
                    rest = rest.dropFirst()
                }
            } else {
                let name = rest.prefix { $0 != "." }
                part = name.lowercased()
                guard isPlain(part) else { return nil }
                rest = rest.dropFirst(name.count)
            }
            guard !part.isEmpty, part.utf8.count <= maximumLength else { return nil }
            parts.append(part)
            if rest.isEmpty { return parts.count <= 2 ? parts : nil }
            guard rest.first == "." else { return nil }
            rest = rest.dropFirst()
        }
    }
}
