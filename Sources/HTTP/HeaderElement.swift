/// One element of a header that lists what a client accepts: `text/plain;version=0.0.4;q=0.5`.
/// Source: RFC 9110, 12.4.2 and 12.5.1.
package struct HeaderElement: Equatable {
    /// What is accepted, in lower case.
    package let value: String
    /// Parameters but for the quality; names in lower case.
    package private(set) var parameters: [String: String] = [:]
    /// From 0, not acceptable, to 1. What is no number counts as 0.
    package private(set) var quality = 1.0

    /// Elements of a header beyond this number are not looked at.
    private static let maximum = 32

    /// The elements of a header; none where it is missing.
    package static func elements(of header: String?) -> [HeaderElement] {
        (header ?? "").split(separator: ",").prefix(maximum).map { HeaderElement($0) }
    }

    init(_ text: Substring) {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false)
        value = Self.trimmed(parts.first ?? "").lowercased()
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { continue }
            let name = Self.trimmed(pair[0]).lowercased()
            let text = Self.trimmed(pair[1])
            if name == "q" {
                quality = Double(text).map { (0...1).contains($0) ? $0 : 0 } ?? 0
            } else {
                parameters[name] =
                    text.hasPrefix("\"") && text.hasSuffix("\"") ? String(text.dropFirst().dropLast()) : text
            }
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" }
        return String(text.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
