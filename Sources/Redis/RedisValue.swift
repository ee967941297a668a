/// One reply of Redis.
///
/// A server error is a value, not a Swift error, because in a pipeline one command may fail beside others that succeed.
package enum RedisValue: Equatable, Sendable {
    case null
    case integer(Int64)
    /// A bulk or simple string. Bytes, because keys and values need not be UTF-8.
    case string([UInt8])
    case array([RedisValue])
    /// The text of an error reply, for example `WRONGTYPE Operation against a key holding the wrong kind of value`.
    /// It is cut where it is longer than anything that Redis says.
    case error(String)
    /// A string or list that has more than is kept.
    case omitted

    package var bytes: [UInt8]? {
        if case .string(let bytes) = self { return bytes }
        return nil
    }

    /// The string as text; bytes that are not UTF-8 are replaced by U+FFFD.
    package var text: String? {
        bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    /// An integer reply, or a string that holds one, as in the reply of TIME.
    package var integer: Int64? {
        if case .integer(let value) = self { return value }
        return text.flatMap { Int64($0) }
    }

    /// A number in text, as scores of sorted sets are: `1795221940`, `1.5`, `inf`.
    package var number: Double? {
        if case .integer(let value) = self { return Double(value) }
        return text.flatMap { Double($0) }
    }

    package var array: [RedisValue]? {
        if case .array(let values) = self { return values }
        return nil
    }

    package var error: String? {
        if case .error(let message) = self { return message }
        return nil
    }

    // MARK: Numbers within bounds

    /// How much there is of something, as LLEN, ZCARD, HSTRLEN and the like tell it; nil for what no Redis holds.
    package var length: Int? {
        integer.flatMap { (0...1 << 40).contains($0) ? Int($0) : nil }
    }

    /// The reply of TIME in Unix seconds; nil for no time, or one that no calendar has.
    package var time: Double? {
        guard let parts = array, parts.count == 2, let seconds = parts[0].integer, let microseconds = parts[1].integer,
            (0..<Self.endOfTime).contains(seconds), (0..<1_000_000).contains(microseconds)
        else { return nil }
        return Double(seconds) + Double(microseconds) / 1e6
    }

    /// A moment as the score of a sorted set; nil for no moment.
    package var moment: Double? {
        number.flatMap { (0..<Double(Self.endOfTime)).contains($0) ? $0 : nil }
    }

    /// The end of the year 9999.
    private static let endOfTime: Int64 = 253_402_300_800
}
