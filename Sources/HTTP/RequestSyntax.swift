internal import CMicroHTTPD

/// The target of a request, such as `/metrics?x=1`, as it stands in its connection's memory. The bytes are not kept.
struct RequestTarget {
    fileprivate let start: UInt
    fileprivate let end: UInt
    /// Whether it has no bytes but those that a target may have.
    fileprivate let isPrintable: Bool

    init(_ text: UnsafePointer<CChar>) {
        var next = text
        var isPrintable = true
        while next.pointee != 0 {
            isPrintable = isPrintable && (0x21...0x7e).contains(next.pointee)
            next += 1
        }
        start = UInt(bitPattern: text)
        end = UInt(bitPattern: next)
        self.isPrintable = isPrintable
    }
}

/// Whether the head of a request can be read in one way only. libmicrohttpd is lenient: of two lengths it takes the first, a
/// zero byte ends a text for it, and it joins lines. What stands before this server, and forwards or judges requests, may read
/// the same bytes in another way, so that one sees a request where the other sees a body.
/// Source: RFC 9112, sections 2.2, 3, 5 and 6.3, and RFC 9110, sections 5.3 and 5.5.
struct RequestSyntax {
    /// Where the next line begins if all bytes have been seen.
    private var next: UInt
    private var isPlain = true
    private var lengths: [String] = []
    private var codings = 0
    private var hosts = 0
    private var logins = 0

    /// Before version 1 zero bytes and joined lines only show by where texts lie in memory. Later ones refuse zero bytes.
    private static let showsBytes = String(cString: MHD_get_version()).hasPrefix("0.")

    /// Whether a request is in order, all of whose headers have come.
    /// - Parameter mayHaveBody: whether its method may come with a body, whose length is then anything.
    static func isUnambiguous(
        _ connection: OpaquePointer,
        method: UnsafePointer<CChar>,
        target: RequestTarget,
        version: UnsafePointer<CChar>,
        mayHaveBody: Bool
    ) -> Bool {
        let (start, version) = (UInt(bitPattern: method), end(of: version))
        var syntax = RequestSyntax(next: version.end &+ 2)
        // One blank between each two.
        let isLine = end(of: method).end &+ 1 == target.start && target.end &+ 1 == version.start
        withUnsafeMutablePointer(to: &syntax) {
            _ = MHD_get_connection_values_n(connection, .HEADER_KIND, readHeader, $0)
        }
        // The empty line behind them.
        let isWhole = syntax.next &+ 2 == start &+ UInt(shim_header_bytes(connection))
        return target.isPrintable && syntax.isPlain && (isLine && isWhole || !showsBytes)
            && syntax.codings == 0 && syntax.hosts <= 1 && syntax.logins <= 1 && syntax.lengths.count <= 1
            && (mayHaveBody || syntax.lengths.allSatisfy { $0 == "0" })
    }

    private init(next: UInt) {
        self.next = next
    }

    private static func end(of text: UnsafePointer<CChar>) -> (start: UInt, end: UInt) {
        let target = RequestTarget(text)
        return (target.start, target.end)
    }

    fileprivate mutating func read(_ name: UnsafeBufferPointer<CChar>, _ value: UnsafeBufferPointer<CChar>) {
        let isName = !name.isEmpty && name.allSatisfy { Self.tokenCharacters.contains($0) }
        let isValue = value.allSatisfy { $0 < 0 || $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
        isPlain = isPlain && isName && isValue
        if Self.showsBytes {
            let (start, end) = (
                UInt(bitPattern: name.baseAddress), UInt(bitPattern: value.baseAddress) &+ UInt(value.count)
            )
            isPlain = isPlain && start == next
            next = end &+ 2
        }
        switch String(decoding: name.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased() {
        case "content-length": lengths.append(String(decoding: value.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        case "transfer-encoding": codings += 1
        case "host": hosts += 1
        case "authorization": logins += 1
        default: break
        }
    }

    private static let tokenCharacters = Set(
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8.map { CChar($0) }
    )
}

/// Reads one header. A free function, because C calls it.
private func readHeader(
    syntax: UnsafeMutableRawPointer?,
    kind: MHD_ValueKind,
    name: UnsafePointer<CChar>?,
    nameSize: Int,
    value: UnsafePointer<CChar>?,
    valueSize: Int
) -> MHD_Result {
    guard let syntax = syntax?.assumingMemoryBound(to: RequestSyntax.self) else { return .NO }
    syntax.pointee.read(
        UnsafeBufferPointer(start: name, count: name == nil ? 0 : nameSize),
        UnsafeBufferPointer(start: value, count: value == nil ? 0 : valueSize)
    )
    return .YES
}
