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
