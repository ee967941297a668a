import Foundation
import LyingRedis
import Reading
import Synchronization

@testable import Celery
@testable import HTTP
@testable import Redis

/// Conversations: with a Redis that answers anything, and with clients that ask anything.
let serverTargets = [
    FuzzTarget("redis-beat", beatReplies) { bytes in
        redis.answers(bytes) { client in
            _ = try RedBeatReader(client: client, configuration: RedBeatConfiguration()).read(
                until: .now + .seconds(60)
            )
        }
    },
    FuzzTarget("redis-unlocked-beat", unlockedReplies) { bytes in
        redis.answers(bytes) { client in
            var configuration = RedBeatConfiguration()
            configuration.lock = .off
            _ = try RedBeatReader(client: client, configuration: configuration).read(until: .now + .seconds(60))
        }
    },
    FuzzTarget("redis-queues", queueReplies) { bytes in
        redis.answers(bytes) { client in
            var configuration = QueueConfiguration()
            configuration.names = ["mail"]
            let reader = QueueReader(client: client, configuration: configuration, scheduledQueues: { [:] })
            _ = try reader.read(until: .now + .seconds(60)).state?.queues.map(\.length)
        }
    },
    FuzzTarget("redis-slots", slotReplies) { bytes in
        redis.answers(bytes) { client in
            let source = RedisEndpoint.tcp(host: "localhost", port: 1)
            for reply in try client.pipeline(
                [RedisCommand("CLUSTER", "SLOTS"), RedisCommand("GET", "key")],
                until: .now + .seconds(60)
            ) {
                _ = Redirection(reply, from: source)
                _ = ClusterSlots(reply, from: source)?.owner(of: HashSlot.of(Array("key".utf8)))
            }
        }
    },
    FuzzTarget("http", requests) { bytes in web.isAsked(bytes) },
]

private let redis = AnyRedis()
private let web = AnyWeb()

private let beatReplies = [
    "+OK\r\n:3\r\n*2\r\n$10\r\n1795221905\r\n$6\r\n123456\r\n:1490500\r\n+string\r\n:2\r\n"
        + "*4\r\n$9\r\nredbeat:a\r\n$10\r\n1795221960\r\n$9\r\nredbeat:b\r\n$2\r\n-1\r\n:1\r\n"
        + "$46\r\nrdb_last_save_time:1795221000\r\nrdb_changes:1\r\n\r\n$15\r\ntotal_forks:3\r\n\r\n"
        + "*2\r\n$40\r\n{\"name\": \"a\", \"task\": \"t\", \"schedule\": {\r\n$-1\r\n*2\r\n$-1\r\n$-1\r\n",
    "+OK\r\n-ERR no such key\r\n*2\r\n:1\r\n:2\r\n:-2\r\n+none\r\n:0\r\n*0\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n",
]
private let unlockedReplies = [
    "+OK\r\n:3\r\n*2\r\n$10\r\n1795221905\r\n$6\r\n123456\r\n:1\r\n$15\r\ntotal_forks:3\r\n\r\n$0\r\n\r\n"
        + "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n*2\r\n$2\r\n17\r\n*1\r\n$9\r\nredbeat:b\r\n*2\r\n$2\r\n{}\r\n$2\r\n{}\r\n"
]
private let queueReplies = [
    "+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$18\r\n_kombu.binding.all\r\n*1\r\n$12\r\nmail\u{6}\u{16}\u{6}\u{16}mail\r\n:2\r\n"
        + "*2\r\n$3\r\ntag\r\n$10\r\n1795221905\r\n:9223372036854775807\r\n:1\r\n:0\r\n:0\r\n",
    "+OK\r\n*2\r\n$1\r\n0\r\n*0\r\n-WRONGTYPE Operation\r\n*0\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
]
private let slotReplies = [
    "+OK\r\n*2\r\n*3\r\n:0\r\n:5460\r\n*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n*3\r\n:5461\r\n:16383\r\n*2\r\n$0\r\n\r\n:6380\r\n"
        + "-MOVED 3999 127.0.0.1:6381\r\n",
    "+OK\r\n*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\n?\r\n:1\r\n$1\r\nx\r\n-ASK 1 ::1:6381\r\n",
    // Room for so many would take seconds to make and to give back.
    "+OK\r\n*2147483647\r\n:1\r\n",
]
private let requests = [
    "GET /metrics HTTP/1.1\r\nHost: exporter\r\nAccept: text/plain;q=0.5\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /probe?target=shop&a=%41&a HTTP/1.0\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "GET http://a/b%00c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: a=b; c\r\nAuthorization: Basic Og==\r\n\r\n",
]

/// A Redis on a Unix socket that says what it is told to say, whatever it is asked, and closes the connection.
private final class AnyRedis: Sendable {
    private let path = NSTemporaryDirectory() + "fuzz-redis-\(getpid())"
    private let said = Mutex<[UInt8]>([])

    init() {
        let listener = listening(at: path)
        Thread { [self] in
            while true { serve(accept(listener, nil, nil)) }
        }.start()
    }

    private func serve(_ connection: CInt) {
        let bytes = said.withLock { $0 }
        _ = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
        shutdown(connection, CInt(SHUT_WR))
        // To close before all was read would take the answer away from the client.
        var rest = [UInt8](repeating: 0, count: 4096)
        while read(connection, &rest, rest.count) > 0 {}
        close(connection)
    }

    /// Reads with a client to whom that is said. What is no Redis must be refused by an error that fits a line of the log.
    func answers(_ bytes: [UInt8], _ read: (RedisClient) throws -> Void) -> String? {
        said.withLock { $0 = bytes }
        let address = RedisAddress(servers: .single(.unix(path: path)))
        let limits = RedisLimits(timeout: .seconds(60), replyBytes: 1 << 20)
        do {
            try read(RedisClient(address: address, limits: limits))
        } catch let error as SourceError {
            return error.reason == .timeout ? "waits for more than there is" : nil
        } catch let error as RedisError {
            if case .timeout = error { return "waits for more than there is" }
            return nil
        } catch {
            return "\(error)"
        }
        return nil
    }
}

/// The exporter's server, with a route that looks at all there is in a request.
private final class AnyWeb: Sendable {
    private let port: UInt16
    nonisolated(unsafe) private let server: HTTPServer

    init() {
        do {
            guard let address = ListenAddress("127.0.0.1:0") else { preconditionFailure("no address") }
            let socket = try ListeningSocket(bindingTo: address)
            guard let port = ListenAddress(socket.name)?.port else { preconditionFailure("no port") }
            self.port = port
            server = try HTTPServer(on: socket) { request in
                let seen = [
                    request.path, request.header("Accept"), request.header("Host"), request.parameter("target"),
                    request.parameter("a"),
                ]
                let response = HTTPResponse(status: 200, text: seen.compactMap { $0 }.joined(separator: "\n"))
                return request.path.utf8.count % 2 == 0 ? .now(response) : .later { response }
            }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Sends bytes as they are, and reads until the server ends the connection.
    func isAsked(_ bytes: [UInt8]) -> String? {
        let connection = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(connection) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { return "takes no connection: \(String(cString: strerror(errno)))" }
        // Then a request that is in order, which is answered unless what came before it went on in it.
        let all = bytes + Array("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8)
        _ = all.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
        shutdown(connection, CInt(SHUT_WR))
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(connection, &chunk, chunk.count)
            if count == 0 { break }
            if count < 0 {
                // It may end a connection without having read all that was sent.
                if errno == ECONNRESET { break }
                return "does not end the connection: \(String(cString: strerror(errno)))"
            }
            answer += chunk[..<count]
        }
        guard answer.count <= 100 * bytes.count + 10_000 else { return "answers \(answer.count) bytes" }
        let begins = answer.starts(with: "HTTP/1.1 ".utf8) || answer.starts(with: "HTTP/1.0 ".utf8)
        return answer.isEmpty || begins ? nil : "answers \(String(decoding: answer.prefix(100), as: UTF8.self))"
    }
}
