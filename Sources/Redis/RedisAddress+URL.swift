internal import TLS

/// Why a text is no address of Redis. The description holds no part of the text that could be a secret.
package struct RedisAddressError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

extension RedisAddress {
    /// Hosts that one address may list.
    private static let maximumHosts = 32

    /// What a URL may begin with.
    static let schemes: Set<String> = [
        "redis", "rediss", "unix", "redis+socket", "redis+unix", "sentinel", "redis-sentinel", "redis-cluster",
    ]

    /// Reads a URL as Celery users write it in `broker_url` and `redbeat_redis_url`:
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`, `rediss://...` with TLS
    /// - `unix://[[user]:password@]/path[?db=N]`, `redis+socket:///path[?virtual_host=N]` (kombu's spelling)
    /// - several of these with semicolons between: kombu's list of brokers (`alternates`)
    /// - `sentinel://host:26379;sentinel://host:26379` (kombu's) and `redis-sentinel://host:26379,host:26379` (RedBeat's
    ///   scheme); user, password, database and parameters count where the first URL has them, as for kombu
    /// - `redis-cluster://host:6379,host:6379` (RedBeat's scheme)
    ///
    /// Parameters that begin with `ssl_` mean TLS whatever the scheme, as for kombu (kombu/utils/url.py, `parse_url`).
    /// Those that are not known here (`socket_timeout`, ...) configure the Python client and are left to it.
    package init(url: String) throws(RedisAddressError) {
        guard url.first != "\"", url.first != "'" else {
            throw RedisAddressError(description: "remove the quotes around it; write redis://host:6379/0")
        }
        let urls = try RedisURL.list(url)
        guard let first = urls.first else {
            throw RedisAddressError(description: "not a URL; write redis://host:6379/0")
        }
        guard urls.count <= Self.maximumHosts else { throw Self.tooManyHosts }
        switch first.scheme {
        case "sentinel", "redis-sentinel", "redis-cluster":
            guard urls.allSatisfy({ $0.scheme == first.scheme }) else { throw RedisURL.missingScheme(first) }
            let isCluster = first.scheme == "redis-cluster"
            var endpoints: [RedisEndpoint] = []
            for url in urls { endpoints += try Self.endpoints(url.authority, port: isCluster ? 6379 : 26379) }
            guard endpoints.count <= Self.maximumHosts else { throw Self.tooManyHosts }
            try self.init(
                at: isCluster ? .cluster(endpoints) : .sentinels(RedisSentinels(endpoints: endpoints)),
                first
            )
        default:
            try self.init(first, port: 6379)
            var previous = servers
            for url in urls.dropFirst() {
                guard url.isSocket || ["redis", "rediss"].contains(url.scheme) else {
                    throw RedisURL.missingScheme(first)
                }
                // As kombu: what does not say its port has that of the one before it.
                var port: UInt16 = 6379
                if case .single(.tcp(_, let number)) = previous { port = number }
                let alternate = try RedisAddress(url, port: port)
                previous = alternate.servers
                alternates.append(alternate)
            }
        }
    }

    private static let tooManyHosts = RedisAddressError(
        description: "at most \(maximumHosts) hosts; a few are enough to find the others"
    )

    /// One server.
    private init(_ url: RedisURL, port: UInt16) throws(RedisAddressError) {
        if url.isSocket {
            try self.init(at: .single(try Self.socket(url.authority + url.path)), url)
        } else if ["redis", "rediss"].contains(url.scheme) {
            try self.init(at: .single(try Self.endpoint(url.authority, port: port)), url)
        } else {
            throw RedisAddressError(
                description: "not a Redis URL; write redis://host:6379/0 or unix:///path/redis.sock"
            )
        }
    }

    private init(at servers: Servers, _ url: RedisURL) throws(RedisAddressError) {
        self.servers = servers
        database = try Self.database(url, ofSocket: servers.isSocket)
        if case .cluster = servers, database != 0 {
            throw RedisAddressError(description: "a Redis Cluster has database 0 alone; leave the number out")
        }
        (user, password) = try Self.account(url)
        tls = try Self.tls(url.parameters)
        if tls == nil, url.scheme == "rediss" { tls = TLSClientConfiguration() }
        if servers.isSocket { tls = nil }
    }

    // MARK: Servers

    private static func endpoints(_ authority: Substring, port: UInt16) throws(RedisAddressError) -> [RedisEndpoint] {
        var endpoints: [RedisEndpoint] = []
        for host in authority.split(separator: ",", omittingEmptySubsequences: false) {
            endpoints.append(try endpoint(host, port: port))
        }
        return endpoints
    }

    private static func endpoint(_ authority: Substring, port standard: UInt16) throws(RedisAddressError)
        -> RedisEndpoint
    {
        guard !authority.contains(",") else {
            throw RedisAddressError(description: "write redis://host:6379/0;redis://host:6379/0 for several servers")
        }
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
        let name = try RedisURL.percentDecoded(host)
        guard !name.contains(where: \.isWhitespace) else {
            throw RedisAddressError(description: "a host has no blanks; write redis://host:6379/0")
        }
        return .tcp(host: name.isEmpty ? "localhost" : name, port: port)
    }

    private static func socket(_ text: Substring) throws(RedisAddressError) -> RedisEndpoint {
        let path = try RedisURL.percentDecoded(text)
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

    private static func database(_ url: RedisURL, ofSocket isSocket: Bool) throws(RedisAddressError) -> Int {
        let path = url.path.drop { $0 == "/" }
        let parameter = url.parameters["db"] ?? url.parameters["virtual_host"].map { String($0.drop { $0 == "/" }) }
        let text = isSocket || path.isEmpty ? parameter ?? "" : String(path)
        guard !text.isEmpty else { return 0 }
        guard let number = Int(text), (0...65_535).contains(number) else {
            throw RedisAddressError(description: "the database must be a number; write redis://host:6379/0")
        }
        return number
    }

    private static func account(_ url: RedisURL) throws(RedisAddressError) -> (user: String?, password: String?) {
        var user: String?
        var password = url.parameters["password"]
        if let credentials = url.credentials {
            if let colon = credentials.firstIndex(of: ":") {
                user = try RedisURL.percentDecoded(credentials[..<colon])
                password = try RedisURL.percentDecoded(credentials[credentials.index(after: colon)...])
            } else {
                user = try RedisURL.percentDecoded(credentials)
            }
        }
        return (user?.isEmpty == true ? nil : user, password?.isEmpty == true ? nil : password)
    }

    /// Python's words for what TLS shall check; nil where no parameter speaks of TLS.
    /// Source: redis-py's `SSLConnection`, kombu/utils/url.py.
    private static func tls(_ parameters: [Substring: String]) throws(RedisAddressError) -> TLSClientConfiguration? {
        guard parameters.keys.contains(where: { $0.hasPrefix("ssl_") }) else { return nil }
        var tls = TLSClientConfiguration()
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
}
