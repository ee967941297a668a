/// A reply as Redis writes it.
public enum Reply: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
    ExpressibleByNilLiteral, Sendable
{
    case null
    case integer(Int64)
    case string([UInt8])
    case status(String)
    case error(String)
    case list([Reply])
    /// Bytes as they are, which need not be a reply.
    case raw([UInt8])
    /// The same, and then the end of the connection.
    case last([UInt8])

    public init(stringLiteral text: String) { self = .string(Array(text.utf8)) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(arrayLiteral elements: Reply...) { self = .list(elements) }
    public init(nilLiteral: ()) { self = .null }

    public static func text(_ text: String) -> Reply { .string(Array(text.utf8)) }

    /// A string of so many bytes.
    public static func long(_ count: Int) -> Reply { .string([UInt8](repeating: UInt8(ascii: "x"), count: count)) }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes
    }

    private func write(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes += "$-1\r\n".utf8
        case .integer(let value): bytes += ":\(value)\r\n".utf8
        case .string(let string):
            bytes += "$\(string.count)\r\n".utf8
            bytes += string
            bytes += "\r\n".utf8
        case .status(let text): bytes += "+\(text)\r\n".utf8
        case .error(let text): bytes += "-\(text)\r\n".utf8
        case .raw(let raw), .last(let raw): bytes += raw
        case .list(let replies):
            bytes += "*\(replies.count)\r\n".utf8
            for reply in replies { reply.write(to: &bytes) }
        }
    }
}
