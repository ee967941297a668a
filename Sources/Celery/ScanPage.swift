internal import Redis

/// One page of SCAN or SSCAN.
struct ScanPage {
    /// "0" when the iteration is complete.
    let cursor: String
    let elements: [[UInt8]]
    /// Whether any name was left out for its length.
    private let isCut: Bool

    /// Longer names are left out: thousands are kept.
    static let maximumNameBytes = 512

    init?(_ reply: RedisValue) {
        guard let parts = reply.array, parts.count == 2, let cursor = parts[0].text, UInt64(cursor) != nil,
            let elements = parts[1].array
        else {
            return nil
        }
        self.cursor = cursor
        let names = elements.compactMap(\.bytes)
        self.elements = names.filter { $0.count <= Self.maximumNameBytes }
        isCut = elements.contains(.omitted) || self.elements.count < names.count
    }

    /// What was left out, as a line for the log; nil where nothing was.
    func omission(of place: String) -> String? {
        isCut ? "\(place) has a name of more than \(Self.maximumNameBytes) bytes, which is left out; delete it" : nil
    }
}

/// A text as a glob pattern that matches only itself.
func globEscaped(_ text: String) -> String {
    var escaped = ""
    for character in text {
        if "*?[]\\^".contains(character) { escaped.append("\\") }
        escaped.append(character)
    }
    return escaped
}
