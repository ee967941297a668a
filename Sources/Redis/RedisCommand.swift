/// One command with its arguments, binary-safe.
package struct RedisCommand: Sendable {
    package let arguments: [[UInt8]]
    /// Bytes of strings that its reply may have although those of others may not.
    private(set) var expectedBytes = 0

    package init(_ arguments: any RedisArgument...) {
        self.arguments = arguments.map(\.redisBytes)
    }

    /// The same where its reply is known to have so many bytes of strings, or is permitted to.
    package func expecting(bytes: Int) -> RedisCommand {
        var command = self
        command.expectedBytes = bytes
        return command
    }

    /// Commands that have no key. Source: Redis's command reference.
    private static let withoutKey: Set = [
        "CLIENT", "CLUSTER", "ECHO", "INFO", "PING", "PUBLISH", "ROLE", "SCAN", "TIME",
    ]

    /// The one key that the command is about, by which a cluster finds the node; nil where there is none.
    var key: [UInt8]? {
        let name = arguments.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard !Self.withoutKey.contains(name) else { return nil }
        // `OBJECT IDLETIME key`; all others have it first.
        return arguments.dropFirst(name == "OBJECT" ? 2 : 1).first
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
