package import TLS

/// Which Redis to talk to and how to log in.
package struct RedisAddress: Equatable, Sendable {
    /// How servers work together.
    package enum Servers: Equatable, Sendable {
        case single(RedisEndpoint)
        /// The sentinels know the server.
        case sentinels(RedisSentinels)
        /// Nodes of a Redis Cluster that know the others.
        case cluster([RedisEndpoint])

        package var isSocket: Bool {
            if case .single(.unix) = self { true } else { false }
        }
    }

    package var servers: Servers
    package var user: String?
    package var password: String?
    package var database: Int
    /// Nil for connections without TLS. Unix sockets never use it.
    package var tls: TLSClientConfiguration?
    /// Other servers, which take the place of this one in turn when it fails (a list in `broker_url`). They have no
    /// alternates of their own.
    package var alternates: [RedisAddress] = []
    /// Where servers may lead to; nil for anywhere. Those that the address itself names are always allowed.
    package var allowedNodes: AllowedNodes?

    package init(
        servers: Servers,
        user: String? = nil,
        password: String? = nil,
        database: Int = 0,
        tls: TLSClientConfiguration? = nil
    ) {
        self.servers = servers
        self.user = user
        self.password = password
        self.database = database
        self.tls = tls
    }

    /// This address without its alternates, and each of them.
    package var each: [RedisAddress] {
        var first = self
        first.alternates = []
        return [first] + alternates
    }

    /// Whether the address, or the list of what is allowed, names the server.
    func allows(_ endpoint: RedisEndpoint) -> Bool {
        let isNamed =
            switch servers {
            case .single(let server): server == endpoint
            case .sentinels(let sentinels): sentinels.endpoints.contains(endpoint)
            case .cluster(let nodes): nodes.contains(endpoint)
            }
        return isNamed || allowedNodes?.contains(endpoint) ?? true
    }

    /// Whether servers decide where a password goes in clear, and nobody has said where it may.
    package var passwordFollowsServers: Bool {
        switch servers {
        case .single: false
        case .sentinels, .cluster: password != nil && tls == nil && allowedNodes == nil
        }
    }

    /// The address without user, password and parameters, for logs and errors.
    package var redacted: String {
        alternates.isEmpty ? redactedServers : each.map(\.redactedServers).joined(separator: ";")
    }

    private var redactedServers: String {
        switch servers {
        case .single(let endpoint): redacted(endpoint)
        case .sentinels(let sentinels):
            sentinels.endpoints.map { "sentinel://\($0.text)" }.joined(separator: ";") + "/\(database)"
        case .cluster(let nodes): "redis-cluster://" + nodes.map(\.text).joined(separator: ",")
        }
    }

    /// One of its servers, for logs and errors.
    func redacted(_ endpoint: RedisEndpoint) -> String {
        switch endpoint {
        case .tcp: "\(tls == nil ? "redis" : "rediss")://\(endpoint.text)/\(database)"
        case .unix(let path): "unix://\(path)?db=\(database)"
        }
    }
}

/// Sentinels that know which server is the master, and how to log in to them.
package struct RedisSentinels: Equatable, Sendable {
    package var endpoints: [RedisEndpoint]
    /// The name that the sentinels know the master by (`sentinel monitor NAME ...`).
    package var master: String
    package var user: String?
    package var password: String?
    /// Whether they speak TLS; nil when they do as the master does.
    package var usesTLS: Bool?

    package init(endpoints: [RedisEndpoint], master: String = "") {
        self.endpoints = endpoints
        self.master = master
    }
}
