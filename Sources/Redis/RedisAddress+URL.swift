/// Why a text is no address of Redis. The description holds no part of the text that could be a secret.
package struct RedisAddressError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

extension RedisAddress {
    /// Hosts that one address may list.
    private static let maximumHosts = 32

    /// Reads a URL as Celery users write it in `broker_url` and `redbeat_redis_url`:
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`, `rediss://...` with TLS
    /// - `unix://[[user]:password@]/path[?db=N]`, `redis+socket:///path[?virtual_host=N]` (kombu's spelling)
    /// - `sentinel://host:26379;sentinel://host:26379` (kombu's) and `redis-sentinel://host:26379,host:26379` (RedBeat's
    ///   scheme); user, password, database and parameters count where the first URL has them, as for kombu
    /// - `redis-cluster://host:6379,host:6379` (RedBeat's scheme)
    ///
    /// Parameters that begin with `ssl_` mean TLS whatever the scheme, as for kombu (kombu/utils/url.py, `parse_url`).
    /// Those that are not known here (`socket_timeout`, ...) configure the Python client and are left to it.
    package init(url: String) throws(RedisAddressError) {
        guard let schemeEnd = url.firstRange(of: "://") else {
            throw RedisAddressError(description: "not a URL; write redis://host:6379/0")
        }
        let scheme = url[..<schemeEnd.lowerBound].lowercased()
        var parts = [url[schemeEnd.upperBound...]]
        // Not what ends like one of them: it is quoted, and may be the beginning of a password.
        if ["sentinel", "redis-sentinel"].contains(scheme) {
            parts = Self.split(parts[0], at: ";\(scheme)://")
            guard !parts.contains(where: { $0.contains("://") }) else {
                throw RedisAddressError(description: "write \(scheme):// before each host of the list")
            }
        }
        let first = try URLRest(parts[0])

        switch scheme {
        case "redis", "rediss":
            servers = .single(try Self.endpoint(first.authority, port: 6379))
        case "unix", "redis+socket", "redis+unix":
            servers = .single(try Self.socket(first.authority + first.path))
        case "sentinel", "redis-sentinel":
            var endpoints: [RedisEndpoint] = []
            for part in parts { endpoints += try Self.endpoints(try URLRest(part).authority, port: 26379) }
            servers = .sentinels(RedisSentinels(endpoints: try Self.checked(endpoints)))
        case "redis-cluster":
            servers = .cluster(try Self.checked(try Self.endpoints(first.authority, port: 6379)))
        default:
            throw RedisAddressError(
                description: "not a Redis URL; write redis://host:6379/0 or unix:///path/redis.sock"
            )
        }

        database = try Self.database(first, ofSocket: servers.isSocket)
        if case .cluster = servers, database != 0 {
            throw RedisAddressError(description: "a Redis Cluster has database 0 alone; leave the number out")
        }
        (user, password) = try Self.account(first)
        tls = try Self.tls(first.parameters)
        if tls == nil, scheme == "rediss" { tls = RedisTLS() }
        if servers.isSocket { tls = nil }
    }

    private static func split(_ text: Substring, at separator: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = text
        while let range = rest.firstRange(of: separator) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }

    // MARK: Servers

    private static func endpoints(_ authority: Substring, port: UInt16) throws(RedisAddressError) -> [RedisEndpoint] {
        var endpoints: [RedisEndpoint] = []
        for host in authority.split(separator: ",", omittingEmptySubsequences: false) {
            endpoints.append(try endpoint(host, port: port))
        }
        return endpoints
    }

    private static func checked(_ endpoints: [RedisEndpoint]) throws(RedisAddressError) -> [RedisEndpoint] {
        guard endpoints.count <= maximumHosts else {
            throw RedisAddressError(description: "at most \(maximumHosts) hosts; a few are enough to find the others")
        }
        return endpoints
    }

    private static func endpoint(_ authority: Substring, port standard: UInt16) throws(RedisAddressError)
        -> RedisEndpoint
    {
        var host = authority
        var port = standard
        var portText: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else {
                throw RedisAddressError(description: "an IPv6 address ends with ]; write redis://[::1]:6379/0")
            }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else {
                throw RedisAddressError(description: "a port follows the ] after a colon; write redis://[::1]:6379/0")
            }
            portText = after.dropFirst()
        } else if let colon = authority.lastIndex(of: ":") {
            host = authority[..<colon]
            portText = authority[authority.index(after: colon)...]
        }
        if let portText, !portText.isEmpty {
            guard let number = UInt16(portText), number > 0 else {
                throw RedisAddressError(
                    description: "the port must be a number from 1 to 65535; write redis://host:6379/0"
                )
            }
            port = number
        }
        return .tcp(host: host.isEmpty ? "localhost" : try percentDecoded(host), port: port)
    }

    private static func socket(_ text: Substring) throws(RedisAddressError) -> RedisEndpoint {
        let path = try percentDecoded(text)
        guard path.hasPrefix("/") else {
            throw RedisAddressError(description: "a socket needs an absolute path; write unix:///path/redis.sock?db=0")
        }
        // The size of sockaddr_un.sun_path on Linux, without its final zero.
        guard path.utf8.count <= 107 else {
            throw RedisAddressError(description: "the path of a socket has at most 107 bytes")
        }
        return .unix(path: path)
    }

    // MARK: What the server is told

    private static func database(_ rest: URLRest, ofSocket isSocket: Bool) throws(RedisAddressError) -> Int {
        let path = rest.path.drop { $0 == "/" }
        let parameter = rest.parameters["db"] ?? rest.parameters["virtual_host"].map { String($0.drop { $0 == "/" }) }
        let text = isSocket || path.isEmpty ? parameter ?? "" : String(path)
        guard !text.isEmpty else { return 0 }
        guard let number = Int(text), (0...65_535).contains(number) else {
            throw RedisAddressError(description: "the database must be a number; write redis://host:6379/0")
        }
        return number
    }

    private static func account(_ rest: URLRest) throws(RedisAddressError) -> (user: String?, password: String?) {
        var user: String?
        var password = rest.parameters["password"]
        if let credentials = rest.credentials {
            if let colon = credentials.firstIndex(of: ":") {
                user = try percentDecoded(credentials[..<colon])
                password = try percentDecoded(credentials[credentials.index(after: colon)...])
            } else {
                user = try percentDecoded(credentials)
            }
        }
        return (user?.isEmpty == true ? nil : user, password?.isEmpty == true ? nil : password)
    }

    /// Python's words for what TLS shall check; nil where no parameter speaks of TLS.
    /// Source: redis-py's `SSLConnection`, kombu/utils/url.py.
    private static func tls(_ parameters: [Substring: String]) throws(RedisAddressError) -> RedisTLS? {
        guard parameters.keys.contains(where: { $0.hasPrefix("ssl_") }) else { return nil }
        var tls = RedisTLS()
        switch parameters["ssl_cert_reqs"]?.lowercased() {
        // For a client Python's "optional" is the same as "required".
        case nil, "required", "cert_required", "optional", "cert_optional":
            let checksName = parameters["ssl_check_hostname"]?.lowercased() ?? "true"
            tls.verification = ["false", "f", "no", "n", "0"].contains(checksName) ? .anyName : .full
        case "none", "cert_none": tls.verification = .none
        default:
            throw RedisAddressError(description: "ssl_cert_reqs must be required, optional or none")
        }
        tls.caFile = parameters["ssl_ca_certs"]
        tls.caFolder = parameters["ssl_ca_path"]
        tls.certificateFile = parameters["ssl_certfile"]
        tls.keyFile = parameters["ssl_keyfile"]
        return tls
    }

    fileprivate static func percentDecoded(_ text: some StringProtocol) throws(RedisAddressError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16) else {
                throw RedisAddressError(
                    description: "a % must be followed by two hexadecimal digits; write %25 for a %"
                )
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard !bytes.contains(0) else { throw RedisAddressError(description: "a URL must not hold a zero byte") }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What follows `://` in a URL, taken apart and not yet decoded, except for the parameters.
private struct URLRest {
    var credentials: Substring?
    var authority: Substring
    /// From the first slash on.
    var path: Substring
    var parameters: [Substring: String] = [:]

    init(_ text: Substring) throws(RedisAddressError) {
        var rest = text
        // Such a character would end the URL within the password, and the start of it would pass for the host.
        if let end = rest.firstIndex(where: { $0 == "#" || $0 == "?" }), rest[end...].contains("@") {
            throw RedisAddressError(description: "write %23 for a #, %3F for a ? and %40 for an @ in user and password")
        }
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        if let question = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: question)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { parameters[parts[0]] = try RedisAddress.percentDecoded(parts[1]) }
            }
            rest = rest[..<question]
        }
        // The last "@" ends the credentials: people put unescaped ones into passwords.
        if let at = rest.lastIndex(of: "@") {
            credentials = rest[..<at]
            rest = rest[rest.index(after: at)...]
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        authority = rest[..<slash]
        path = rest[slash...]
    }
}
