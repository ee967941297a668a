internal import CGnuTLS

/// The certificates that the other side of a session has shown, its own first.
enum PeerCertificates {
    /// More than these no honest chain has.
    private static let maximum: UInt32 = 16

    /// Each must be deinitialized.
    static func certificates(of session: OpaquePointer) -> [gnutls_x509_crt_t?] {
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(session, &count) else { return [] }
        var certificates: [gnutls_x509_crt_t?] = []
        for index in 0..<Int(min(count, maximum)) {
            // What follows one that cannot be read is not the next one's.
            guard let certificate = certificate(chain[index]) else { break }
            certificates.append(certificate)
        }
        return certificates
    }

    /// Nil for what is none.
    static func certificate(_ encoded: gnutls_datum_t) -> gnutls_x509_crt_t? {
        var certificate: gnutls_x509_crt_t?
        guard gnutls_x509_crt_init(&certificate) == GNUTLS_E_SUCCESS, let certificate else { return nil }
        var encoded = encoded
        guard gnutls_x509_crt_import(certificate, &encoded, GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS else {
            gnutls_x509_crt_deinit(certificate)
            return nil
        }
        return certificate
    }
}
