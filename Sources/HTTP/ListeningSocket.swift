internal import Glibc

/// A socket on which connections are waited for: bound by us, or handed over by systemd.
package struct ListeningSocket: Sendable {
    let descriptor: CInt
    /// The address it listens on, for people.
    package let name: String

    /// Binds a socket to an address and listens on it.
    package init(bindingTo address: ListenAddress) throws(HTTPServerError) {
        descriptor = try address.listen()
        name = "\(address.host.isEmpty ? "*" : address.host):\(Self.port(of: descriptor))"
    }

    /// The sockets that systemd has opened for this process. Source: the manual of sd_listen_fds.
    package static func fromSystemd() throws(HTTPServerError) -> [ListeningSocket] {
        func failure(_ cause: String) -> HTTPServerError { HTTPServerError(name: "systemd's sockets", cause: cause) }
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        guard let process = variable("LISTEN_PID"), let number = variable("LISTEN_FDS").flatMap({ Int($0) }) else {
            throw failure("there are none (LISTEN_FDS, LISTEN_PID); start it by a .socket unit")
        }
        guard process == String(getpid()) else {
            throw failure("they are process \(process)'s (LISTEN_PID), and not ours")
        }
        guard (1...16).contains(number) else { throw failure("LISTEN_FDS is \(number); pass 1 to 16") }
        var sockets: [ListeningSocket] = []
        // SD_LISTEN_FDS_START
        for descriptor in CInt(3)..<CInt(3 + number) {
            guard option(SO_ACCEPTCONN, of: descriptor) == 1,
                option(SO_TYPE, of: descriptor) == CInt(SOCK_STREAM.rawValue)
            else { throw failure("descriptor \(descriptor) is no listening stream socket (ListenStream=, Accept=no)") }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
            sockets.append(ListeningSocket(inherited: descriptor))
        }
        return sockets
    }

    private init(inherited descriptor: CInt) {
        self.descriptor = descriptor
        name = "systemd:\(Self.port(of: descriptor))"
    }

    private static func option(_ option: CInt, of descriptor: CInt) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 ? value : nil
    }

    /// The port a bound socket has, which the kernel chose when it was to be 0; 0 for a Unix socket.
    private static func port(of descriptor: CInt) -> UInt16 {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &length) }
            guard [AF_INET, AF_INET6].contains(CInt(pointer.pointee.ss_family)) else { return 0 }
            // sin_port and sin6_port lie at the same offset.
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt16(bigEndian: $0.pointee.sin_port)
            }
        }
    }
}
