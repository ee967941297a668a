/// How a server speaks TLS, with the contents of its files. The terms are those of Go's crypto/tls, in which Prometheus's
/// web configuration is written.
package struct TLSConfiguration: Sendable {
    package enum Version: String, CaseIterable, Comparable, Sendable {
        case tls10 = "TLS10"
        case tls11 = "TLS11"
        case tls12 = "TLS12"
        case tls13 = "TLS13"

        package static func < (left: Self, right: Self) -> Bool { left.priority < right.priority }

        /// GnuTLS's name for it.
        var priority: String {
            switch self {
            case .tls10: "VERS-TLS1.0"
            case .tls11: "VERS-TLS1.1"
            case .tls12: "VERS-TLS1.2"
            case .tls13: "VERS-TLS1.3"
            }
        }
    }

    package enum Curve: String, CaseIterable, Sendable {
        case x25519 = "X25519"
        case p256 = "CurveP256"
        case p384 = "CurveP384"
        case p521 = "CurveP521"

        /// GnuTLS's name for it.
        var priority: String {
            switch self {
            case .x25519: "GROUP-X25519"
            case .p256: "GROUP-SECP256R1"
            case .p384: "GROUP-SECP384R1"
            case .p521: "GROUP-SECP521R1"
            }
        }
    }

    /// What is asked of clients' certificates.
    package enum ClientAuthentication: String, CaseIterable, Sendable {
        case none = "NoClientCert"
        case request = "RequestClientCert"
        case requireAny = "RequireAnyClientCert"
        case verifyIfGiven = "VerifyClientCertIfGiven"
        case requireAndVerify = "RequireAndVerifyClientCert"

        package var verifies: Bool { self == .verifyIfGiven || self == .requireAndVerify }
    }

    /// The chain of the server's certificate, its own first, and the key to it, in PEM.
    package var certificate: [UInt8]
    package var key: [UInt8]
    package var clientAuthentication = ClientAuthentication.none
    /// Certificates, in PEM, that vouch for those of clients.
    package var clientAuthorities: [UInt8]?
    /// Names of which a client's certificate must bear one; nil for any.
    package var clientNames: [String]?
    package var versions = Version.tls12...Version.tls13
    /// In the order of preference.
    package var cipherSuites: [CipherSuite] = []
    package var curves = Curve.allCases
    /// Whether the server's order of cipher suites counts, and not the client's.
    package var prefersOwnCipherSuites = true

    package init(certificate: [UInt8], key: [UInt8]) {
        self.certificate = certificate
        self.key = key
    }

    /// What GnuTLS is to speak, in its language of priorities. Source: its manual, "Priority strings".
    var priorities: String {
        var suites = cipherSuites
        if suites.isEmpty {
            suites = CipherSuite.allCases.filter {
                $0.isRecommended || ($0.isForwardSecret && versions.lowerBound < .tls12)
            }
        }
        var words = ["NONE"]
        func add(_ names: some Sequence<String>) {
            for name in names where !words.contains("+" + name) { words.append("+" + name) }
        }
        add(Version.allCases.reversed().filter(versions.contains).map(\.priority))
        add(suites.map(\.cipher))
        add(suites.compactMap(\.keyExchange))
        add(suites.map(\.authentication))
        add(curves.map(\.priority))
        add(["SIGN-ALL", "CTYPE-X509", "COMP-NULL"])
        if prefersOwnCipherSuites { words.append("%SERVER_PRECEDENCE") }
        return words.joined(separator: ":")
    }
}

/// A cipher suite by its IANA name. These are the ones that Go counts as secure enough to be configured.
package enum CipherSuite: String, CaseIterable, Sendable {
    case aes256GCM = "TLS_AES_256_GCM_SHA384"
    case chaCha20 = "TLS_CHACHA20_POLY1305_SHA256"
    case aes128GCM = "TLS_AES_128_GCM_SHA256"
    case ecdheECDSAAES256GCM = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    case ecdheRSAAES256GCM = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    case ecdheECDSAChaCha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    case ecdheRSAChaCha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    case ecdheECDSAAES128GCM = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    case ecdheRSAAES128GCM = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    case ecdheECDSAAES256CBC = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"
    case ecdheRSAAES256CBC = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
    case ecdheECDSAAES128CBC = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
    case ecdheRSAAES128CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    case rsaAES256GCM = "TLS_RSA_WITH_AES_256_GCM_SHA384"
    case rsaAES128GCM = "TLS_RSA_WITH_AES_128_GCM_SHA256"
    case rsaAES256CBC = "TLS_RSA_WITH_AES_256_CBC_SHA"
    case rsaAES128CBC = "TLS_RSA_WITH_AES_128_CBC_SHA"

    /// GnuTLS's name for how keys are agreed; nil in the suites of TLS 1.3, which leave that open.
    var keyExchange: String? {
        if rawValue.hasPrefix("TLS_ECDHE_ECDSA_") { return "ECDHE-ECDSA" }
        if rawValue.hasPrefix("TLS_ECDHE_RSA_") { return "ECDHE-RSA" }
        return rawValue.hasPrefix("TLS_RSA_") ? "RSA" : nil
    }

    /// GnuTLS's name for the cipher.
    var cipher: String {
        if rawValue.contains("CHACHA20") { return "CHACHA20-POLY1305" }
        return (rawValue.contains("AES_256") ? "AES-256-" : "AES-128-") + (rawValue.contains("GCM") ? "GCM" : "CBC")
    }

    /// GnuTLS's name for what guards against changes.
    var authentication: String { cipher.hasSuffix("CBC") ? "SHA1" : "AEAD" }

    var isForwardSecret: Bool { keyExchange != "RSA" }

    var isRecommended: Bool { isForwardSecret && authentication == "AEAD" }

    /// A suite that GnuTLS would use too if it were told to use these, and that is not amongst them: it is not given suites
    /// but key exchanges and ciphers, and uses each with each. nil if there is none.
    ///
    /// Ciphers are also used with TLS 1.3, whatever they are listed for.
    package static func unlisted(besides suites: [CipherSuite]) -> CipherSuite? {
        allCases.first { suite in
            !suites.contains(suite)
                && suites.contains { $0.keyExchange != nil && $0.keyExchange == suite.keyExchange }
                && suites.contains { $0.cipher == suite.cipher }
        }
    }
}
