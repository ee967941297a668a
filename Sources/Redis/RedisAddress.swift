/// Where a Redis is and how to log in, as Celery users write it in `broker_url`.
///
/// Understood: `redis://[[user]:password@]host[:port][/database]`, `unix://[[user]:password@]/path[?db=N]`,
/// `redis+socket:///path[?virtual_host=N]` (kombu's spelling) and `?db=N` for the first form. Other query parameters
/// (`ssl_cert_reqs`, `socket_timeout`, ...) configure the Python client and are left to it.
package struct RedisAddress: Equatable, Sendable {
    package enum Endpoint: Equatable, Sendable {
        case tcp(host: String, port: UInt16)
        case unix(path: String)
    }

    package var endpoint: Endpoint
    package var user: String?
    package var password: String?
    package var database: Int

    package init(endpoint: Endpoint, user: String? = nil, password: String? = nil, database: Int = 0) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.database = database
    }

    /// The address without user and password, for logs and errors.
    package var redacted: String {
        switch endpoint {
        case .tcp(let host, let port):
            "redis://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path): "unix://\(path)?db=\(database)"
        }
    }
}

/// Why a text is no address of Redis. The description holds no part of the text that could be a secret.
package struct RedisAddressError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

extension RedisAddress {
    /// Reads a URL.
    package init(url: String) throws(RedisAddressError) {
        guard let schemeEnd = url.firstRange(of: "://") else {
            throw RedisAddressError(description: "not a URL; write redis://host:6379/0")
        }
        let scheme = url[..<schemeEnd.lowerBound].lowercased()
        var rest = url[schemeEnd.upperBound...]
        // Such a character would end the URL within the password, and the start of it would pass for the host.
        if let end = rest.firstIndex(where: { $0 == "#" || $0 == "?" }), rest[end...].contains("@") {
            throw RedisAddressError(description: "write %23 for a #, %3F for a ? and %40 for an @ in user and password")
        }
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        var parameters: [Substring: String] = [:]
        if let question = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: question)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { parameters[parts[0]] = try Self.percentDecoded(parts[1]) }
            }
            rest = rest[..<question]
        }
        // The last "@" ends the credentials: people put unescaped ones into passwords.
        var credentials: Substring?
        if let at = rest.lastIndex(of: "@") {
            credentials = rest[..<at]
            rest = rest[rest.index(after: at)...]
        }

        let databaseText: String?
        switch scheme {
        case "redis":
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            endpoint = try Self.tcpEndpoint(rest[..<slash])
            let path = rest[slash...].drop { $0 == "/" }
            databaseText = path.isEmpty ? (parameters["db"] ?? parameters["virtual_host"]) : String(path)
        case "unix", "redis+socket", "redis+unix":
            let path = try Self.percentDecoded(rest)
            guard path.hasPrefix("/") else {
                throw RedisAddressError(
                    description: "a socket needs an absolute path; write unix:///path/redis.sock?db=0"
                )
            }
            guard path.utf8.count <= 107 else {
                throw RedisAddressError(description: "the path of a socket has at most 107 bytes")
            }
            endpoint = .unix(path: path)
            databaseText = parameters["db"] ?? parameters["virtual_host"].map { String($0.drop { $0 == "/" }) }
        case "rediss", "sentinel", "redis-sentinel", "redis-cluster":
            throw RedisAddressError(description: "\(scheme):// is not supported yet; use redis:// or unix://")
        default:
            throw RedisAddressError(
                description: "not a Redis URL; write redis://host:6379/0 or unix:///path/redis.sock"
            )
        }

        if let databaseText, !databaseText.isEmpty {
            guard let number = Int(databaseText), (0...65_535).contains(number) else {
                throw RedisAddressError(description: "the database must be a number; write redis://host:6379/0")
            }
            database = number
        } else {
            database = 0
        }

        user = nil
        password = parameters["password"]
        if let credentials {
            if let colon = credentials.firstIndex(of: ":") {
                let name = try Self.percentDecoded(credentials[..<colon])
                user = name.isEmpty ? nil : name
                password = try Self.percentDecoded(credentials[credentials.index(after: colon)...])
            } else if !credentials.isEmpty {
                user = try Self.percentDecoded(credentials)
            }
        }
        if password?.isEmpty == true { password = nil }
    }

    private static func tcpEndpoint(_ authority: Substring) throws(RedisAddressError) -> Endpoint {
        var host = authority
        var port: UInt16 = 6379
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

    private static func percentDecoded(_ text: some StringProtocol) throws(RedisAddressError) -> String {
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
