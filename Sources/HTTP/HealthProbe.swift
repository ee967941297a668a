internal import Glibc
internal import System
internal import TLS

/// Asks an exporter on this machine whether it is healthy, with one plain request, or, where TLS is spoken, for no more than
/// its certificate: it may want one of its clients. It blocks its thread.
package struct HealthProbe {
    private let address: ListenAddress
    private let deadline: ContinuousClock.Instant

    /// What is read of an answer: its status line is all that matters.
    private static let maximumBytes = 1024

    /// - Parameters:
    ///   - address: where the exporter was told to listen.
    ///   - timeout: the time all of it may take.
    package init(_ address: ListenAddress, timeout: Duration) {
        self.address = address
        deadline = .now + timeout
    }

    /// Returns if the exporter is healthy: it answers 200 or, as it asks for a password first, 401; or it shows a certificate.
    package func run() throws(HealthProbeError) {
        let line = try askPlainly()
        // A server that speaks TLS ends what is no handshake without a word.
        if line.isEmpty, (try? showsCertificate()) == true { return }
        guard let status = Self.status(line) else { throw failure("what answers there speaks no HTTP") }
        guard status == 200 || status == 401 else { throw failure("it answered \(status)") }
    }

    /// The first line of the answer to a plain request; empty where there is none.
    private func askPlainly() throws(HealthProbeError) -> String {
        let descriptor = try connect()
        defer { close(descriptor) }
        try send(
            "GET /-/healthy HTTP/1.0\r\nHost: \(address.host.isEmpty ? "localhost" : address.host)\r\n\r\n",
            descriptor
        )
        return try firstLine(descriptor)
    }

    private func showsCertificate() throws(HealthProbeError) -> Bool {
        let descriptor = try connect()
        defer { close(descriptor) }
        guard let handshake = ClientHandshake(on: descriptor) else { throw failure("GnuTLS has no memory") }
        while let readiness = handshake.proceed() { try wait(descriptor, for: readiness) }
        return handshake.hasServerCertificate
    }

    /// The status in the first line of an answer, such as `HTTP/1.1 200 OK`; nil where it is none.
    /// Source: RFC 9112, section 4.
    static func status(_ line: String) -> Int? {
        let parts = line.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), parts[1].utf8.count == 3 else { return nil }
        return Int(parts[1])
    }

    // MARK: The connection

    /// A connected socket, which the caller closes.
    private func connect() throws(HealthProbeError) -> CInt {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICSERV
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(address.reachableHost, String(address.port), &hints, &list)
        guard status == 0, let first = list else { throw failure(String(cString: gai_strerror(status))) }
        defer { freeaddrinfo(list) }
        // The exporter listens on the first of these.
        let information = first.pointee
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(information.ai_family, type, 0)
        guard descriptor >= 0 else { throw systemFailure() }
        do throws(HealthProbeError) {
            if Glibc.connect(descriptor, information.ai_addr, information.ai_addrlen) != 0 {
                guard errno == EINPROGRESS else { throw systemFailure() }
                try wait(descriptor, for: .writable)
                var error: CInt = 0
                var size = socklen_t(MemoryLayout<CInt>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size)
                guard error == 0 else { throw failure(String(cString: strerror(error))) }
            }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private func send(_ text: String, _ descriptor: CInt) throws(HealthProbeError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                try wait(descriptor, for: .writable)
            } else if errno != EINTR {
                throw systemFailure()
            }
        }
    }

    private func firstLine(_ descriptor: CInt) throws(HealthProbeError) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.maximumBytes)
        while bytes.count < Self.maximumBytes, !bytes.contains(UInt8(ascii: "\n")) {
            try wait(descriptor, for: .readable)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                bytes += chunk[..<count]
            } else if count == 0 || errno == ECONNRESET {
                break
            } else if errno != EAGAIN, errno != EINTR {
                throw systemFailure()
            }
        }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    private func wait(_ descriptor: CInt, for readiness: DescriptorWait.Readiness) throws(HealthProbeError) {
        guard DescriptorWait.until(readiness, descriptor, by: deadline) else { throw failure("no answer in time") }
    }

    private func systemFailure() -> HealthProbeError {
        failure(String(cString: strerror(errno)))
    }

    private func failure(_ cause: String) -> HealthProbeError {
        HealthProbeError(address: address, cause: cause)
    }
}

extension ListenAddress {
    /// Where a client on the same machine reaches what listens there.
    var reachableHost: String {
        switch host {
        case "", "0.0.0.0": "127.0.0.1"
        case "::": "::1"
        default: host
        }
    }
}

/// Why an exporter cannot be called healthy.
package struct HealthProbeError: Error, CustomStringConvertible {
    package let address: ListenAddress
    package let cause: String

    package var description: String {
        "ask the exporter at \(address.reachableHost):\(address.port): \(cause); is it running, with this --web.listen-address?"
    }
}
