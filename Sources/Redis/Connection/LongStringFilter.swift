internal import Glibc

/// Goes before hiredis, which holds a string until all of it is there: takes strings out that are too long to be held,
/// and lets all else through.
///
/// Of the protocol it knows no more than how strings stand in it: `$5\r\nhello\r\n`. Source: Redis serialization protocol
/// specification, "Bulk strings" and, for `=`, "Verbatim strings".
struct LongStringFilter {
    /// What stands in place of a string that was taken out: an error that no Redis tells.
    static let mark = Array("OMITTED \u{1}".utf8)
    private static let stead = Array("-".utf8) + mark + Array("\r\n".utf8)

    /// Nothing but strings is longer.
    static let maximumLineBytes = 64 << 10

    private enum Place {
        /// Within a line, after so many of its bytes, of which the last may be a carriage return.
        case line(count: Int, endsWithReturn: Bool)
        /// Before so many bytes of a string and of the end of line after it.
        case string(missing: Int, isKept: Bool)
    }

    private static let start = Place.line(count: 0, endsWithReturn: false)
    /// More than `$` and a length.
    private static let maximumHeaderBytes = 32

    private var place = Self.start
    /// The line that tells a string's length, as far as it is there; it is held back until that is known.
    private var header: [UInt8] = []

    /// - Parameters:
    ///   - chunk: the next bytes from the server.
    ///   - keeps: whether a string of so many bytes is let through.
    ///   - pass: takes what is let through.
    /// - Returns: whether this can be a Redis.
    mutating func filter<Failure>(
        _ chunk: UnsafeRawBufferPointer,
        keeps: (Int) throws(Failure) -> Bool,
        pass: (UnsafeRawBufferPointer) -> Void
    ) throws(Failure) -> Bool {
        var rest = chunk[...]
        // What is let through and was not yet passed on ends where `rest` begins.
        var passedEnd = 0
        func passOn(upTo end: Int) {
            if passedEnd < end { pass(UnsafeRawBufferPointer(rebasing: chunk[passedEnd..<end])) }
            passedEnd = end
        }
        while let first = rest.first {
            switch place {
            case .string(let missing, let isKept):
                let count = min(missing, rest.count)
                rest = rest.dropFirst(count)
                if !isKept { passedEnd = rest.startIndex }
                place = count == missing ? Self.start : .string(missing: missing - count, isKept: isKept)
                if !isKept, count == missing { Self.stead.withUnsafeBytes(pass) }
            case .line(let count, let endsWithReturn):
                let isHeader = count == 0 ? first == UInt8(ascii: "$") || first == UInt8(ascii: "=") : !header.isEmpty
                if isHeader { passOn(upTo: rest.startIndex) }
                let piece = Self.piece(of: rest)
                rest = rest.dropFirst(piece.count)
                guard count + piece.count <= Self.maximumLineBytes else { return false }
                let isEnd =
                    piece.last == UInt8(ascii: "\n")
                    && (piece.count > 1 ? piece[piece.endIndex - 2] == UInt8(ascii: "\r") : endsWithReturn)
                place =
                    isEnd
                    ? Self.start
                    : .line(
                        count: count + piece.count,
                        endsWithReturn: piece.last == UInt8(ascii: "\r")
                    )
                guard isHeader else { continue }
                passedEnd = rest.startIndex
                header += piece
                guard header.count <= Self.maximumHeaderBytes else { return false }
                guard isEnd else { continue }
                defer { header = [] }
                // A missing string has the length -1. What is no length at all hiredis refuses.
                let digits = String(decoding: header.dropFirst().dropLast(2), as: UTF8.self)
                guard let length = Int(digits), length >= 0 else {
                    header.withUnsafeBytes(pass)
                    continue
                }
                guard length < Int.max - 2 else { return false }
                let isKept = try keeps(length)
                place = .string(missing: length + 2, isKept: isKept)
                if isKept { header.withUnsafeBytes(pass) }
            }
        }
        passOn(upTo: chunk.count)
        return true
    }

    /// Up to the end of a line, if there is one.
    private static func piece(of rest: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        let bytes = UnsafeRawBufferPointer(rebasing: rest)
        guard let start = bytes.baseAddress, let newline = memchr(start, CInt(UInt8(ascii: "\n")), bytes.count) else {
            return rest
        }
        return rest.prefix(UnsafeRawPointer(newline) - start + 1)
    }
}
