internal import CGnuTLS
internal import Glibc

/// A TLS configuration that GnuTLS has accepted. Sessions that began with it keep it when another takes its place.
package final class TLSContext: Sendable {
    // Written only here and in deinit; GnuTLS allows several threads to use them.
    nonisolated(unsafe) private let credentials: gnutls_certificate_credentials_t
    nonisolated(unsafe) private let priorities: gnutls_priority_t
    private let clientAuthentication: TLSConfiguration.ClientAuthentication
    private let clientNames: [String]?

    package init(_ configuration: TLSConfiguration) throws(TLSError) {
        var credentials: gnutls_certificate_credentials_t?
        guard gnutls_certificate_allocate_credentials(&credentials) == GNUTLS_E_SUCCESS, let credentials else {
            throw TLSError(.configuration, "GnuTLS has no memory")
        }
        var priorities: gnutls_priority_t?
        do throws(TLSError) {
            try Self.setKey(of: configuration, in: credentials)
            if let authorities = configuration.clientAuthorities {
                let count = authorities.withDatum {
                    gnutls_certificate_set_x509_trust_mem(credentials, $0, GNUTLS_X509_FMT_PEM)
                }
                guard count > 0 else {
                    throw TLSError(.clientAuthorities, count < 0 ? text(count) : "there is no certificate in it")
                }
            }
            let status = gnutls_priority_init(&priorities, configuration.priorities, nil)
            guard status == GNUTLS_E_SUCCESS else { throw TLSError(.configuration, text(status)) }
        } catch {
            gnutls_certificate_free_credentials(credentials)
            throw error
        }
        guard let priorities else { preconditionFailure("GnuTLS gave no priorities and no error") }
        if configuration.clientAuthentication.verifies {
            gnutls_certificate_set_verify_function(credentials, verifyClient)
        }
        clientAuthentication = configuration.clientAuthentication
        clientNames = configuration.clientNames
        self.credentials = credentials
        self.priorities = priorities
    }

    deinit {
        gnutls_certificate_free_credentials(credentials)
        gnutls_priority_deinit(priorities)
    }

    /// Has a session that begins follow this configuration. The context must outlive the session.
    package func apply(to session: OpaquePointer) {
        // libmicrohttpd has given it some of its own; these take their place.
        gnutls_priority_set(session, priorities)
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(credentials))
        switch clientAuthentication {
        case .none:
            gnutls_certificate_server_set_request(session, GNUTLS_CERT_IGNORE)
        case .request, .verifyIfGiven:
            gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST)
        case .requireAny, .requireAndVerify:
            gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE)
        }
        // For `verifyClient`; libmicrohttpd uses this place for pre-shared keys alone.
        gnutls_session_set_ptr(session, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Whether the certificate that a client has sent, if it has, is good enough.
    fileprivate func accepts(clientOf session: OpaquePointer) -> Bool {
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(session, &count), count > 0 else {
            return clientAuthentication == .verifyIfGiven
        }
        var status: UInt32 = 0
        // As Go does: a certificate that says what it is for must say that it is for clients.
        let result = Array(GNUTLS_KP_TLS_WWW_CLIENT.utf8CString).withUnsafeBufferPointer { purpose in
            var data = gnutls_typed_vdata_st(type: GNUTLS_DT_KEY_PURPOSE_OID, text: purpose)
            return gnutls_certificate_verify_peers(session, &data, 1, &status)
        }
        guard result == GNUTLS_E_SUCCESS, status == 0 else { return false }
        guard let clientNames else { return true }
        return Self.alternativeNames(of: chain[0]).contains { clientNames.contains($0) }
    }

    /// The subject alternative names of a certificate: of hosts, mail addresses, URIs and addresses.
    private static func alternativeNames(of encoded: gnutls_datum_t) -> [String] {
        guard let certificate = PeerCertificates.certificate(encoded) else { return [] }
        defer { gnutls_x509_crt_deinit(certificate) }
        var names: [String] = []
        // More names than this no honest certificate has.
        for index in 0..<UInt32(1000) {
            var bytes = [UInt8](repeating: 0, count: 1024)
            var count = bytes.count
            var type: UInt32 = 0
            let kind = gnutls_x509_crt_get_subject_alt_name2(certificate, index, &bytes, &count, &type, nil)
            if kind == GNUTLS_E_SHORT_MEMORY_BUFFER { continue }
            guard kind >= 0 else { break }
            let value = bytes.prefix(count)
            switch gnutls_x509_subject_alt_name_t(rawValue: type) {
            case GNUTLS_SAN_DNSNAME, GNUTLS_SAN_RFC822NAME, GNUTLS_SAN_URI:
                names.append(String(decoding: value, as: UTF8.self))
            case GNUTLS_SAN_IPADDRESS:
                if let address = IPAddress.text(Array(value)) { names.append(address) }
            default: continue
            }
        }
        return names
    }

    private static func setKey(
        of configuration: TLSConfiguration,
        in credentials: gnutls_certificate_credentials_t
    ) throws(TLSError) {
        let status = configuration.certificate.withDatum { certificate in
            configuration.key.withDatum { key in
                gnutls_certificate_set_x509_key_mem2(credentials, certificate, key, GNUTLS_X509_FMT_PEM, nil, 0)
            }
        }
        guard status >= 0 else {
            throw TLSError(status == GNUTLS_E_CERTIFICATE_KEY_MISMATCH ? .pair : .certificate, text(status))
        }
        var key: gnutls_x509_privkey_t?
        guard gnutls_certificate_get_x509_key(credentials, 0, &key) == GNUTLS_E_SUCCESS else { return }
        defer { gnutls_x509_privkey_deinit(key) }
        let algorithm = gnutls_pk_algorithm_t(UInt32(gnutls_x509_privkey_get_pk_algorithm(key)))
        guard [GNUTLS_PK_RSA, GNUTLS_PK_ECDSA, GNUTLS_PK_EDDSA_ED25519].contains(algorithm) else {
            throw TLSError(.pair, "its kind of key is not supported; use RSA, ECDSA or Ed25519")
        }
    }
}

/// Why a TLS configuration is none: what of it is wrong, and how.
package struct TLSError: Error, Equatable {
    package enum Part: Sendable {
        case certificate
        /// The certificate and the key together.
        case pair
        case clientAuthorities
        case configuration
    }

    package let part: Part
    package let problem: String

    init(_ part: Part, _ problem: String) {
        self.part = part
        self.problem = problem
    }
}

/// GnuTLS's callback within a handshake, when the client's certificates have come. A free function, because it is called
/// on a thread that Swift knows nothing of.
private func verifyClient(_ session: OpaquePointer?) -> CInt {
    guard let session, let context = gnutls_session_get_ptr(session) else { return GNUTLS_E_CERTIFICATE_ERROR }
    let accepts = Unmanaged<TLSContext>.fromOpaque(context).takeUnretainedValue().accepts(clientOf: session)
    guard !accepts else { return GNUTLS_E_SUCCESS }
    // Otherwise the client would be told nothing: libmicrohttpd only closes the connection.
    gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE)
    return GNUTLS_E_CERTIFICATE_ERROR
}
