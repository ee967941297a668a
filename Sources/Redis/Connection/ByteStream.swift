internal import System
internal import TLS

/// Bytes to and from one server, through TLS where the address says so. Everything ends by a deadline.
final class ByteStream {
    private let socket: Socket
    private let session: TLSClientSession?

    /// Connects, and shakes hands when `tls` is given.
    init(to endpoint: RedisEndpoint, tls: TLSClientConfiguration?, until deadline: Deadline) throws(StreamError) {
        socket = try Socket(connectingTo: endpoint, until: deadline)
        guard let tls, case .tcp(let host, _) = endpoint else {
            session = nil
            return
        }
        let session = try TLSClientSession(over: socket.descriptor, with: tls, host: host)
        self.session = session
        try shakeHands(session, until: deadline)
    }

    private func shakeHands(_ session: TLSClientSession, until deadline: Deadline) throws(StreamError) {
        do throws(StreamError) {
            _ = try transfer(until: deadline) { session.handshake() }
        } catch .timeout {
            throw .tls("no answer to the handshake in time; the server hangs, or speaks no TLS on this port")
        } catch .lost(let cause) {
            throw .tls("\(cause) during the handshake; the server may speak no TLS on this port")
        }
    }

    /// Waits for bytes; returns how many came.
    func read(into buffer: UnsafeMutableRawBufferPointer, until deadline: Deadline) throws(StreamError) -> Int {
        try transfer(until: deadline) { session?.read(into: buffer) ?? socket.read(into: buffer) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, until deadline: Deadline) throws(StreamError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            rest = rest.dropFirst(try transfer(until: deadline) { session?.write(part) ?? socket.write(part) })
        }
    }

    private func transfer(until deadline: Deadline, _ attempt: () -> Transfer) throws(StreamError) -> Int {
        while true {
            // Whoever sends all the time lets nobody wait, and so comes to no other end.
            guard ContinuousClock.now < deadline else { throw .timeout }
            switch attempt() {
            case .moved(let count): return count
            case .mustWaitToRead: try socket.wait(toWrite: false, until: deadline)
            case .mustWaitToWrite: try socket.wait(toWrite: true, until: deadline)
            case .ended: throw .lost("Server closed the connection")
            case .failed(let error): throw error
            }
        }
    }
}
