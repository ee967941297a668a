import Foundation
import Synchronization

/// A server that speaks Redis's protocol and answers whatever it is told to, true or not. It ends with the process.
public final class LyingRedis: Sendable {
    /// What to answer to a command; nil to end the connection.
    public typealias Answer = @Sendable (_ command: [String]) -> Reply?

    /// On 127.0.0.1.
    public let port: UInt16
    /// The same server on a Unix socket.
    public let path: String
    private let state: Mutex<(answer: Answer, connections: Int)>

    private static let servers = Atomic(0)

    public init(_ answer: @escaping Answer = { _ in nil }) {
        state = Mutex((answer, 0))
        let number = Self.servers.add(1, ordering: .relaxed).newValue
        path = NSTemporaryDirectory() + "lying-redis-\(getpid())-\(number)"
        let network = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        port = Self.bind(network)
        precondition(listen(network, 128) == 0, "cannot listen")
        for listener in [network, listening(at: path)] {
            Thread.detachNewThread { [self] in
                while true {
                    let connection = accept(listener, nil, nil)
                    guard connection >= 0 else { continue }
                    state.withLock { $0.connections += 1 }
                    Thread.detachNewThread { self.serve(connection) }
                }
            }
        }
    }

    /// Connections that were made to it so far.
    public var connections: Int { state.withLock { $0.connections } }

    /// Answers otherwise from now on.
    public func answer(_ answer: @escaping Answer) {
        state.withLock { $0.answer = answer }
    }

    private func serve(_ connection: CInt) {
        defer { close(connection) }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            var rest = received[...]
            var isLast = false
            while !isLast, let command = Self.command(&rest) {
                let answer = state.withLock { $0.answer }
                let reply = answer(command) ?? .last([])
                isLast = !Self.send(reply.bytes, to: connection)
                if case .last = reply { isLast = true }
            }
            if isLast { break }
            received = Array(rest)
            let count = read(connection, &chunk, chunk.count)
            guard count > 0 else { return }
            received += chunk[..<count]
        }
        // To close before all was read would take the answer away from the client.
        shutdown(connection, CInt(SHUT_WR))
        while read(connection, &chunk, chunk.count) > 0 {}
    }

    private static func send(_ bytes: [UInt8], to connection: CInt) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// The first command, taken away, if all of it is there: `*2\r\n$4\r\nLLEN\r\n$4\r\nmail\r\n`.
    private static func command(_ bytes: inout ArraySlice<UInt8>) -> [String]? {
        var rest = bytes
        func number() -> Int? {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            defer { rest = rest[(end + 1)...] }
            return Int(String(decoding: rest[(rest.startIndex + 1)..<(end - 1)], as: UTF8.self))
        }
        guard let count = number() else { return nil }
        var words: [String] = []
        for _ in 0..<count {
            guard let length = number(), rest.count >= length + 2 else { return nil }
            words.append(String(decoding: rest.prefix(length), as: UTF8.self))
            rest = rest.dropFirst(length + 2)
        }
        bytes = rest
        return words
    }

    // MARK: Sockets

    private static func bind(_ listener: CInt) -> UInt16 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(listener, $0, size) == 0 ? getsockname(listener, $0, &size) : -1
            }
        }
        precondition(status == 0, "no port")
        return UInt16(bigEndian: address.sin_port)
    }
}
