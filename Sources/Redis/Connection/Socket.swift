internal import Glibc
internal import System
internal import TLS

/// One connected socket. It never blocks but in `wait`.
final class Socket {
    let descriptor: CInt

    /// Connects to the first of the endpoint's addresses that takes us. Names are resolved by the system, which has time
    /// limits of its own (`options timeout` and `attempts` in resolv.conf).
    init(connectingTo endpoint: RedisEndpoint, until deadline: Deadline) throws(StreamError) {
        switch endpoint {
        case .tcp(let host, let port): descriptor = try Self.connect(host: host, port: port, until: deadline)
        case .unix(let path): descriptor = try Self.connect(path: path, until: deadline)
        }
    }

    deinit {
        close(descriptor)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        outcome(of: recv(descriptor, buffer.baseAddress, buffer.count, 0), waiting: .mustWaitToRead)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        outcome(of: send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL)), waiting: .mustWaitToWrite)
    }

    private func outcome(of count: Int, waiting: Transfer) -> Transfer {
        if count > 0 { return .moved(count) }
        if count == 0 { return .ended }
        switch errno {
        case EAGAIN, EINTR: return waiting
        default: return .failed(.lost(Self.errorText()))
        }
    }

    /// Waits until bytes can be read, or written.
    func wait(toWrite: Bool, until deadline: Deadline) throws(StreamError) {
        guard DescriptorWait.until(toWrite ? .writable : .readable, descriptor, by: deadline) else { throw .timeout }
    }

    // MARK: Connecting

    private static func connect(host: String, port: UInt16, until deadline: Deadline) throws(StreamError) -> CInt {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &first)
        guard status == 0 else {
            throw .connect(status == EAI_SYSTEM ? errorText() : String(cString: gai_strerror(status)))
        }
        defer { freeaddrinfo(first) }
        let addresses = sequence(first: first) { $0?.pointee.ai_next }.prefix { $0 != nil }.compactMap { $0?.pointee }
        // The system tells addresses that can be reached first, so why those fail says most.
        var failure: StreamError?
        for (index, address) in addresses.enumerated() {
            do {
                let descriptor = try connect(
                    family: address.ai_family,
                    until: deadline.share(amongst: addresses.count - index)
                ) { Glibc.connect($0, address.ai_addr, address.ai_addrlen) }
                // Commands are sent whole; nothing is gained by holding them back.
                var yes: CInt = 1
                setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
                return descriptor
            } catch {
                failure = failure ?? error
            }
        }
        throw failure ?? .connect("the name has no address")
    }

    private static func connect(path: String, until deadline: Deadline) throws(StreamError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        // The last byte stays zero.
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw .connect("the path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return try connect(family: AF_UNIX, until: deadline) { descriptor in
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    /// A non-blocking socket, connected by `connect`.
    private static func connect(
        family: CInt,
        until deadline: Deadline,
        _ connect: (CInt) -> CInt
    ) throws(StreamError) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw .connect(errorText()) }
        do throws(StreamError) {
            if connect(descriptor) != 0 {
                guard errno == EINPROGRESS else { throw .connect(errorText()) }
                guard DescriptorWait.until(.writable, descriptor, by: deadline) else {
                    throw .connect("no connection in time")
                }
                var code: CInt = 0
                var size = socklen_t(MemoryLayout<CInt>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
                guard code == 0 else { throw .connect(String(cString: strerror(code))) }
            }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func errorText() -> String {
        String(cString: strerror(errno))
    }
}
