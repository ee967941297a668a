/// Where one server listens.
package enum RedisEndpoint: Hashable, Sendable {
    case tcp(host: String, port: UInt16)
    case unix(path: String)

    /// As in a URL: `host:6379`, `[::1]:6379`, `/path/redis.sock`.
    package var text: String {
        switch self {
        case .tcp(let host, let port): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path): path
        }
    }
}

extension RedisEndpoint {
    /// Where a server says that another one is; nil for what is no host. A host ends at a zero byte for the system, which
    /// would lead elsewhere than it seems.
    init?(announcedHost host: String, port: UInt16) {
        guard port > 0, (1...255).contains(host.utf8.count), host.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            return nil
        }
        self = .tcp(host: host, port: port)
    }
}
