internal import Glibc

/// Where to listen: `host:port`, `[IPv6]:port` or `:port` for all addresses, as `--web.listen-address` has it.
package struct ListenAddress: Equatable, Sendable, CustomStringConvertible {
    /// Empty for all addresses.
    package let host: String
    /// 0 lets the kernel choose.
    package let port: UInt16

    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        self.host = String(host)
        self.port = port
    }

    package var description: String {
        "\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    /// Binds a socket and listens on it. The caller closes it.
    func listen() throws(HTTPServerError) -> CInt {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_family = host.isEmpty ? AF_INET6 : AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
        guard status == 0, let first = list else {
            let cause = String(cString: gai_strerror(status))
            throw HTTPServerError(name: description, cause: "\(cause); choose another --web.listen-address")
        }
        defer { freeaddrinfo(list) }
        do {
            return try listen(on: first.pointee)
        } catch {
            // A machine without IPv6 still has "all addresses".
            guard host.isEmpty else { throw error }
            var any = sockaddr_in()
            any.sin_family = sa_family_t(AF_INET)
            any.sin_port = port.bigEndian
            return try withUnsafeMutablePointer(to: &any) { pointer throws(HTTPServerError) in
                try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address throws(HTTPServerError) in
                    var information = first.pointee
                    information.ai_family = AF_INET
                    information.ai_addr = address
                    information.ai_addrlen = socklen_t(MemoryLayout<sockaddr_in>.size)
                    return try listen(on: information)
                }
            }
        }
    }

    private func listen(on information: addrinfo) throws(HTTPServerError) -> CInt {
        let descriptor = socket(
            information.ai_family,
            CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue),
            0
        )
        guard descriptor >= 0 else { throw failure() }
        var yes: CInt = 1
        var no: CInt = 0
        let size = socklen_t(MemoryLayout<CInt>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, size)
        if information.ai_family == AF_INET6, host.isEmpty {
            setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &no, size)
        }
        guard bind(descriptor, information.ai_addr, information.ai_addrlen) == 0, Glibc.listen(descriptor, 1024) == 0
        else {
            let error = failure()
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private func failure() -> HTTPServerError {
        HTTPServerError(
            name: description,
            cause: "\(String(cString: strerror(errno))); choose another --web.listen-address"
        )
    }
}

/// Why the server could not be started.
package struct HTTPServerError: Error, CustomStringConvertible {
    /// What it should have listened on.
    let name: String
    let cause: String

    package var description: String { "listen on \(name): \(cause)" }
}
