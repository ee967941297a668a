package import HTTP
internal import Passwords
package import System
internal import TLS
internal import YAML

/// The file that `--web.config.file` names: TLS, users and headers, as all of Prometheus's exporters take them.
///
/// Source: the documentation of exporter-toolkit (docs/web-configuration.md) and its reader (web/tls_config.go,
/// web/handler.go). What its check refuses is refused here. What it lets pass, and would not do what its author means, is
/// refused too: `docs/web.md` lists that.
package struct WebConfigurationFile: Sendable {
    package let path: String
    package let security: WebSecurity
    /// The file itself and those it names, as they were just before they were read.
    package let files: [String: SmallFile.Stamp]

    /// Reads the file at `path`, and those that it names.
    package init(path: String) throws(ConfigurationError) {
        self.path = path
        var reader = WebConfigurationReader(path: path)
        let contents = try SmallFile.contents(of: path, for: "--web.config.file")
        let root: YAMLNode?
        do {
            root = try YAMLNode.parse(contents)
        } catch {
            throw reader.error(line: error.line, error.problem)
        }
        security = try reader.security(root)
        files = reader.files
    }
}

/// Reads the parts of a web configuration.
private struct WebConfigurationReader {
    let path: String
    private(set) var files: [String: SmallFile.Stamp] = [:]

    /// Which headers may be added, and the values that those with few may have.
    private static let headers: [String: [String]] = [
        "Content-Security-Policy": [],
        "Strict-Transport-Security": [],
        "X-Content-Type-Options": ["nosniff"],
        "X-Frame-Options": ["deny", "sameorigin"],
        "X-XSS-Protection": [],
    ]

    init(path: String) {
        self.path = path
        files[path] = SmallFile.Stamp(of: path)
    }

    func error(line: Int, _ problem: String) -> ConfigurationError {
        ConfigurationError("\(path):\(line): \(problem)")
    }

    mutating func security(_ root: YAMLNode?) throws(ConfigurationError) -> WebSecurity {
        guard let root else { return WebSecurity() }
        let sections = try keys(
            of: root,
            named: "the file",
            amongst: ["tls_server_config", "http_server_config", "basic_auth_users"]
        )
        var security = WebSecurity()
        if let section = sections["tls_server_config"] { security.tls = try tls(section) }
        if let section = sections["http_server_config"] { security.headers = try http(section) }
        if let section = sections["basic_auth_users"] { security.users = try users(section) }
        return security
    }

    // Sections

    private mutating func tls(_ section: YAMLNode) throws(ConfigurationError) -> TLSContext? {
        let values = try keys(
            of: section,
            named: "tls_server_config",
            amongst: [
                "cert_file", "key_file", "client_auth_type", "client_ca_file", "client_allowed_sans", "min_version",
                "max_version", "cipher_suites", "curve_preferences", "prefer_server_cipher_suites",
            ]
        )
        guard !values.isEmpty else { return nil }
        guard let certificate = values["cert_file"] else { throw error(line: section.line, "cert_file is missing") }
        guard let key = values["key_file"] else { throw error(line: section.line, "key_file is missing") }
        var configuration = TLSConfiguration(
            certificate: try contents(certificate, "cert_file"),
            key: try contents(key, "key_file")
        )
        try readClients(values, into: &configuration)
        try readVersions(values, into: &configuration)
        if let node = values["cipher_suites"] {
            configuration.cipherSuites = try list(node, "cipher_suites", of: CipherSuite.self)
            if let other = CipherSuite.unlisted(besides: configuration.cipherSuites) {
                throw error(
                    line: node.line,
                    "cipher_suites would also allow \(other.rawValue): add it, or leave out one that shares its key "
                        + "exchange or its cipher"
                )
            }
        }
        if let node = values["curve_preferences"] {
            let curves = try list(node, "curve_preferences", of: TLSConfiguration.Curve.self)
            if !curves.isEmpty { configuration.curves = curves }
        }
        if let node = values["prefer_server_cipher_suites"] {
            configuration.prefersOwnCipherSuites = try bool(node, "prefer_server_cipher_suites")
        }
        do {
            return try TLSContext(configuration)
        } catch {
            switch error.part {
            case .certificate:
                throw self.error(
                    line: certificate.line,
                    "cert_file and key_file are no certificate and key: \(error.problem)"
                )
            case .pair:
                throw self.error(line: key.line, "key_file does not fit cert_file: \(error.problem)")
            case .clientAuthorities:
                throw self.error(
                    line: values["client_ca_file"]?.line ?? section.line,
                    "client_ca_file: \(error.problem)"
                )
            case .configuration:
                throw self.error(line: section.line, "tls_server_config: \(error.problem)")
            }
        }
    }

    private mutating func readClients(
        _ values: [String: YAMLNode],
        into configuration: inout TLSConfiguration
    ) throws(ConfigurationError) {
        if let node = values["client_auth_type"] {
            let name = try text(node, "client_auth_type")
            // The name it had at first.
            configuration.clientAuthentication =
                name == "RequireClientCert"
                ? .requireAny : try choice(node, "client_auth_type", of: TLSConfiguration.ClientAuthentication.self)
        }
        let policy = configuration.clientAuthentication
        if let node = values["client_ca_file"] {
            guard policy != .none else {
                throw error(
                    line: node.line,
                    "client_ca_file has no effect without client_auth_type; write RequireAndVerifyClientCert"
                )
            }
            configuration.clientAuthorities = try contents(node, "client_ca_file")
        } else if policy.verifies {
            throw error(
                line: values["client_auth_type"]?.line ?? 1,
                "client_auth_type \(policy.rawValue) needs client_ca_file"
            )
        }
        if let node = values["client_allowed_sans"] {
            guard policy == .requireAndVerify else {
                throw error(
                    line: node.line,
                    "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert: names that nobody vouches for "
                        + "prove nothing"
                )
            }
            let names = try list(node, "client_allowed_sans")
            configuration.clientNames = try names.map { (name) throws(ConfigurationError) in
                try text(name, "client_allowed_sans")
            }
        }
    }

    private func readVersions(
        _ values: [String: YAMLNode],
        into configuration: inout TLSConfiguration
    ) throws(ConfigurationError) {
        let lowest = try values["min_version"].map { (node) throws(ConfigurationError) in
            try choice(node, "min_version", of: TLSConfiguration.Version.self)
        }
        let highest = try values["max_version"].map { (node) throws(ConfigurationError) in
            try choice(node, "max_version", of: TLSConfiguration.Version.self)
        }
        guard lowest ?? .tls12 <= highest ?? .tls13 else {
            throw error(
                line: (values["max_version"] ?? values["min_version"])?.line ?? 1,
                "no version is left between min_version \((lowest ?? .tls12).rawValue) and max_version "
                    + (highest ?? .tls13).rawValue
            )
        }
        configuration.versions = (lowest ?? .tls12)...(highest ?? .tls13)
    }

    private func http(_ section: YAMLNode) throws(ConfigurationError) -> ResponseHeaders? {
        let values = try keys(of: section, named: "http_server_config", amongst: ["http2", "headers"])
        // We speak HTTP/1.1 whatever it says: offering HTTP/2 obliges no client to use it.
        if let node = values["http2"] { _ = try bool(node, "http2") }
        guard let node = values["headers"] else { return nil }
        var headers: [(name: String, value: String)] = []
        for (name, node) in try keys(of: node, named: "headers", amongst: Set(Self.headers.keys)).sorted(by: {
            $0.key < $1.key
        }) {
            let value = try text(node, name)
            if let allowed = Self.headers[name], !allowed.isEmpty, !allowed.contains(value) {
                throw error(line: node.line, "\(name) must be \(allowed.joined(separator: " or "))")
            }
            guard ResponseHeaders([(name, value)]) != nil else {
                throw error(line: node.line, "\(name) must not be empty, and have no control characters")
            }
            headers.append((name, value))
        }
        return headers.isEmpty ? nil : ResponseHeaders(headers)
    }

    private func users(_ section: YAMLNode) throws(ConfigurationError) -> [String: PasswordHash] {
        guard !isNull(section) else { return [:] }
        guard let pairs = section.mapping else {
            throw error(line: section.line, "basic_auth_users must hold names and bcrypt hashes as name: hash")
        }
        var users: [String: PasswordHash] = [:]
        for pair in pairs {
            guard !pair.key.contains(":") else {
                throw error(line: pair.line, "a user's name with a colon cannot be sent; choose another")
            }
            guard let hash = pair.value.scalar.flatMap({ PasswordHash($0) }) else {
                throw error(
                    line: pair.line,
                    "the password of \(pair.key) is no bcrypt hash of cost \(PasswordHash.costs.lowerBound) to "
                        + "\(PasswordHash.costs.upperBound); make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'"
                )
            }
            users[pair.key] = hash
        }
        return users
    }

    // Values

    private func isNull(_ node: YAMLNode) -> Bool { node.isNull && !node.isQuoted }

    /// The values of a mapping by their keys, all of which must be known; nothing counts as an empty mapping.
    private func keys(of node: YAMLNode, named name: String, amongst known: Set<String>) throws(ConfigurationError)
        -> [String: YAMLNode]
    {
        guard !isNull(node) else { return [:] }
        guard let pairs = node.mapping else { throw error(line: node.line, "\(name) must hold settings as key: value") }
        var values: [String: YAMLNode] = [:]
        for pair in pairs {
            guard known.contains(pair.key) else {
                let suggestion = Spelling.suggestion(for: pair.key, amongst: known)
                throw error(line: pair.line, "\(pair.key) is nothing that \(name) may hold\(suggestion)")
            }
            values[pair.key] = pair.value
        }
        return values
    }

    private func text(_ node: YAMLNode, _ key: String) throws(ConfigurationError) -> String {
        guard let text = node.scalar else { throw error(line: node.line, "\(key) must be a single value") }
        guard !node.isNull else { throw error(line: node.line, "\(key) has no value; give one or remove the key") }
        return text
    }

    private func bool(_ node: YAMLNode, _ key: String) throws(ConfigurationError) -> Bool {
        let text = try text(node, key)
        switch node.isQuoted ? "" : text.lowercased() {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default: throw error(line: node.line, "\(key) must be true or false")
        }
    }

    private func choice<Value: RawRepresentable & CaseIterable>(
        _ node: YAMLNode,
        _ key: String,
        of type: Value.Type
    ) throws(ConfigurationError) -> Value where Value.RawValue == String {
        let name = try text(node, key)
        guard let value = Value(rawValue: name) else {
            let names = Value.allCases.map(\.rawValue)
            let suggestion = Spelling.suggestion(for: name, amongst: Set(names))
            let hint = suggestion.isEmpty ? "; one of \(names.joined(separator: ", "))" : suggestion
            throw error(line: node.line, "\(key) knows no \(name)\(hint)")
        }
        return value
    }

    private func list(_ node: YAMLNode, _ key: String) throws(ConfigurationError) -> [YAMLNode] {
        guard let nodes = node.sequence else { throw error(line: node.line, "\(key) must be a list") }
        return nodes
    }

    private func list<Value: RawRepresentable & CaseIterable>(
        _ node: YAMLNode,
        _ key: String,
        of type: Value.Type
    ) throws(ConfigurationError) -> [Value] where Value.RawValue == String {
        try list(node, key).map { (node) throws(ConfigurationError) in try choice(node, key, of: type) }
    }

    /// The contents of a file whose name stands there, relative to the folder of the configuration.
    private mutating func contents(_ node: YAMLNode, _ key: String) throws(ConfigurationError) -> [UInt8] {
        let name = try text(node, key)
        var file = name
        if !name.hasPrefix("/"), let slash = path.lastIndex(of: "/") { file = path[...slash] + name }
        files[file] = SmallFile.Stamp(of: file)
        return try SmallFile.contents(of: file, for: "\(path):\(node.line): \(key)")
    }
}
