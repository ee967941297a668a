/// One reply of Redis, copied out of hiredis into Swift memory.
///
/// A server error is a value, not a Swift error, because in a pipeline one command may fail beside others that succeed.
package enum RedisValue: Equatable, Sendable {
    case null
    case integer(Int64)
    /// A bulk or simple string. Bytes, because keys and values need not be UTF-8.
    case string([UInt8])
    case array([RedisValue])
    /// The text of an error reply, for example `WRONGTYPE Operation against a key holding the wrong kind of value`.
    case error(String)

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
}
