internal import CGnuTLS
internal import Glibc
internal import System

/// How to speak TLS with a server: 1.2 or later.
package struct TLSClientConfiguration: Equatable, Sendable {
    package enum Verification: Equatable, Sendable {
        /// The certificate is signed by a known CA, is valid now, and is for the host.
        case full
        /// The same without a look at the name.
        case anyName
        /// Whatever the server shows is taken: anyone in between can read and answer.
        case none
    }

    package var verification = Verification.full
    /// Certificates of trusted CAs (PEM); nil for the system's.
    package var caFile: String?
    /// A folder of them under their hashes, as `openssl rehash` makes it; nil for the system's.
    package var caFolder: String?
    /// Our own certificate and what leads to its CA (PEM), for servers that ask for one.
    package var certificateFile: String?
    /// Its key (PEM, not encrypted); nil when it is in `certificateFile`.
    package var keyFile: String?
    /// The name that the certificate must have and that the server is told (SNI); nil for the host in the address.
    package var serverName: String?

    package init() {}

    /// Reads the files and throws what is wrong with them.
    package func check() throws(TLSClientError) {
        _ = try authorities()
        gnutls_certificate_free_credentials(try identity())
    }

    /// Nil where all are trusted.
    func authorities() throws(TLSClientError) -> TrustedAuthorities? {
        guard verification != .none else { return nil }
        let authorities = try TrustedAuthorities()
        if caFile == nil, caFolder == nil { try addSystem(to: authorities) }
        if let caFile { try authorities.add(file: caFile) }
        if let caFolder { try authorities.add(folder: caFolder) }
        return authorities
    }

    /// Those of the variables by which OpenSSL, and so Python, is told others, or else those that GnuTLS was built for.
    private func addSystem(to authorities: TrustedAuthorities) throws(TLSClientError) {
        let file = getenv("SSL_CERT_FILE").map { String(cString: $0) } ?? ""
        let folders = getenv("SSL_CERT_DIR").map { String(cString: $0) } ?? ""
        if file.isEmpty, folders.isEmpty { authorities.addSystem() }
        if !file.isEmpty { try authorities.add(file: file) }
        for folder in folders.split(separator: ":") { try authorities.add(folder: String(folder)) }
    }

    /// Our own certificate, if there is one. It must be freed.
    func identity() throws(TLSClientError) -> gnutls_certificate_credentials_t {
        var credentials: gnutls_certificate_credentials_t?
        guard gnutls_certificate_allocate_credentials(&credentials) == GNUTLS_E_SUCCESS, let credentials else {
            throw TLSClientError(description: "out of memory")
        }
        do throws(TLSClientError) {
            try identify(in: credentials)
        } catch {
            gnutls_certificate_free_credentials(credentials)
            throw error
        }
        return credentials
    }

    private func identify(in credentials: gnutls_certificate_credentials_t) throws(TLSClientError) {
        guard let certificateFile else { return }
        let certificate = try contents(of: certificateFile, "the client certificate")
        // Alone first, to tell what is wrong with it from what is wrong with its key.
        var chain: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        var count: UInt32 = 0
        let read = certificate.withDatum { gnutls_x509_crt_list_import2(&chain, &count, $0, GNUTLS_X509_FMT_PEM, 0) }
        for index in 0..<Int(count) { gnutls_x509_crt_deinit(chain?[index]) }
        shim_gnutls_free(chain)
        guard read >= 0 else { throw TLSClientError("the client certificate", certificateFile, text(read)) }
        let keyFile = keyFile ?? certificateFile
        let key = try contents(of: keyFile, "the client certificate's key")
        let status = certificate.withDatum { certificate in
            key.withDatum {
                gnutls_certificate_set_x509_key_mem2(credentials, certificate, $0, GNUTLS_X509_FMT_PEM, nil, 0)
            }
        }
        guard status >= 0 else { throw TLSClientError("the client certificate's key", keyFile, text(status)) }
    }
}

/// Why files cannot be used for TLS.
package struct TLSClientError: Error, Equatable, CustomStringConvertible {
    /// The file or folder; nil where the reason is another.
    package var path: String?
    package let description: String

    init(description: String) {
        self.description = description
    }

    init(_ what: String, _ path: String, _ problem: String) {
        self.path = path
        description = "cannot use \(what), \(path): \(problem)"
    }
}

/// Of a file for TLS.
func contents(of path: String, _ what: String) throws(TLSClientError) -> [UInt8] {
    do throws(SmallFileError) {
        return try SmallFile.contents(of: path)
    } catch .system(_, let code) {
        throw TLSClientError(what, path, String(cString: strerror(code)))
    } catch {
        throw TLSClientError(what, path, error.description)
    }
}
