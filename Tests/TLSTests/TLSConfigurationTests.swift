import Testing

@testable import TLS

@Suite struct TLSConfigurationTests {
    private var configuration = TLSConfiguration(certificate: [], key: [])

    @Test func whatIsSpokenUnlessToldOtherwise() {
        #expect(
            configuration.priorities
                == "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+ECDHE-ECDSA:+ECDHE-RSA"
                + ":+AEAD:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+SIGN-ALL:+CTYPE-X509"
                + ":+COMP-NULL:%SERVER_PRECEDENCE"
        )
    }

    @Test mutating func oldVersionsNeedOldCiphers() {
        configuration.versions = .tls11 ... .tls12
        #expect(
            configuration.priorities.hasPrefix(
                "NONE:+VERS-TLS1.2:+VERS-TLS1.1:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AES-256-CBC:+AES-128-CBC"
                    + ":+ECDHE-ECDSA:+ECDHE-RSA:+AEAD:+SHA1:"
            )
        )
    }

    @Test mutating func whatIsListedKeepsItsOrder() {
        configuration.cipherSuites = [.ecdheRSAChaCha20, .ecdheRSAAES128GCM]
        configuration.curves = [.p384, .x25519]
        configuration.prefersOwnCipherSuites = false
        #expect(
            configuration.priorities
                == "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+CHACHA20-POLY1305:+AES-128-GCM:+ECDHE-RSA:+AEAD:+GROUP-SECP384R1"
                + ":+GROUP-X25519:+SIGN-ALL:+CTYPE-X509:+COMP-NULL"
        )
    }

    @Test func suitesMustBeAWholeProduct() {
        #expect(CipherSuite.unlisted(besides: []) == nil)
        #expect(CipherSuite.unlisted(besides: CipherSuite.allCases) == nil)
        #expect(CipherSuite.unlisted(besides: [.aes128GCM]) == nil)
        #expect(CipherSuite.unlisted(besides: [.ecdheRSAAES128GCM, .ecdheECDSAAES128GCM]) == nil)
        #expect(CipherSuite.unlisted(besides: [.ecdheRSAAES128GCM, .ecdheECDSAAES256GCM]) == .ecdheRSAAES256GCM)
        #expect(CipherSuite.unlisted(besides: [.aes256GCM, .ecdheRSAAES128GCM]) == .ecdheRSAAES256GCM)
    }
}
