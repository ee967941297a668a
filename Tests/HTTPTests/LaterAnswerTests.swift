import Dispatch
import Foundation
import Testing

@testable import HTTP

/// Answers that are worked out while their connections wait.
@Suite struct LaterAnswerTests {
    /// A server that answers `/later` once it may.
    private final class Server {
        let mayGoOn = DispatchSemaphore(value: 0)
        let hasBegun = DispatchSemaphore(value: 0)
        private let port: UInt16
        private let server: HTTPServer

        init(limits: HTTPLimits = HTTPLimits()) throws {
            let socket = try ListeningSocket(bindingTo: #require(ListenAddress("127.0.0.1:0")))
            port = try #require(ListenAddress(socket.name)?.port)
            let (mayGoOn, hasBegun) = (mayGoOn, hasBegun)
            server = try HTTPServer(on: socket, limits: limits) { request in
                guard request.path == "/later" else { return .now(HTTPResponse(status: 200, text: "now")) }
                return .later {
                    hasBegun.signal()
                    mayGoOn.wait()
                    return HTTPResponse(status: 200, text: "later")
                }
            }
        }

        /// A connection on which a path has been asked for.
        func ask(_ method: String, _ path: String) -> CInt {
            let connection = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            let request = "\(method) \(path) HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            _ = Array(request.utf8).withUnsafeBytes { write(connection, $0.baseAddress, $0.count) }
            return connection
        }

        func stop() { server.stop() }
    }

    /// All that comes until the server ends the connection.
    private func answer(_ connection: CInt) -> String {
        defer { close(connection) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while case let count = read(connection, &piece, piece.count), count > 0 { bytes += piece[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: ["GET", "POST"])
    func othersAreServedMeanwhile(method: String) throws {
        let server = try Server()
        let waiting = server.ask(method, "/later")
        server.hasBegun.wait()
        #expect(answer(server.ask("GET", "/")).hasSuffix("\r\n\r\nnow\n"))
        server.mayGoOn.signal()
        #expect(answer(waiting).hasSuffix("\r\n\r\nlater\n"))
        server.stop()
    }

    /// The work is done once, and nobody is told of it.
    @Test func theServerEndsMeanwhile() throws {
        let server = try Server()
        let waiting = server.ask("GET", "/later")
        server.hasBegun.wait()
        server.stop()
        server.mayGoOn.signal()
        _ = answer(waiting)
        #expect(server.hasBegun.wait(timeout: .now()) == .timedOut)
    }

    @Test func theClientGoesAwayMeanwhile() throws {
        let server = try Server()
        let waiting = server.ask("GET", "/later")
        server.hasBegun.wait()
        close(waiting)
        server.mayGoOn.signal()
        #expect(answer(server.ask("GET", "/")).hasSuffix("now\n"))
        server.stop()
        #expect(server.hasBegun.wait(timeout: .now()) == .timedOut)
    }

    /// Its connection is cut off, and the work that ends then finds nobody.
    @Test func itTakesTooLong() throws {
        var limits = HTTPLimits()
        limits.responseSeconds = 1
        let server = try Server(limits: limits)
        let waiting = server.ask("GET", "/later")
        #expect(!answer(waiting).contains("later"))
        server.mayGoOn.signal()
        // On a busy machine a second may be too short for an answer, too.
        #expect((0..<10).contains { _ in answer(server.ask("GET", "/")).hasSuffix("now\n") })
        server.stop()
        server.hasBegun.wait()
        #expect(server.hasBegun.wait(timeout: .now()) == .timedOut)
    }
}
