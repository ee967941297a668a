/// One command with its arguments, binary-safe.
package struct RedisCommand: Sendable {
    package let arguments: [[UInt8]]

    package init(_ arguments: any RedisArgument...) {
        self.arguments = arguments.map(\.redisBytes)
    }

    package init(_ arguments: [any RedisArgument]) {
        self.arguments = arguments.map(\.redisBytes)
    }
}

/// What may stand in a command: text, bytes, whole numbers.
package protocol RedisArgument {
    var redisBytes: [UInt8] { get }
}

extension String: RedisArgument {
    package var redisBytes: [UInt8] { Array(utf8) }
}

extension Array: RedisArgument where Element == UInt8 {
    package var redisBytes: [UInt8] { self }
}

extension Int: RedisArgument {
    package var redisBytes: [UInt8] { Array(String(self).utf8) }
}
