internal import CGnuTLS
internal import Glibc
internal import System

/// The CAs that vouch for a server.
final class TrustedAuthorities {
    private let list: gnutls_x509_trust_list_t

    init() throws(TLSClientError) {
        var list: gnutls_x509_trust_list_t?
        guard gnutls_x509_trust_list_init(&list, 0) == GNUTLS_E_SUCCESS, let list else {
            throw TLSClientError(description: "out of memory")
        }
        self.list = list
    }

    deinit {
        gnutls_x509_trust_list_deinit(list, 1)
    }

    /// Those of the system, of which there may be none.
    func addSystem() {
        gnutls_x509_trust_list_add_system_trust(list, 0, 0)
    }

    /// Those of a file in PEM.
    func add(file: String) throws(TLSClientError) {
        let count = try contents(of: file, "the CA certificates").withDatum {
            gnutls_x509_trust_list_add_trust_mem(list, $0, nil, GNUTLS_X509_FMT_PEM, 0, 0)
        }
        guard count > 0 else {
            throw TLSClientError("the CA certificates", file, count < 0 ? text(count) : "there is no certificate in it")
        }
    }

    /// Those of all files in a folder.
    func add(folder: String) throws(TLSClientError) {
        var status = stat()
        guard stat(folder, &status) == 0, access(folder, R_OK | X_OK) == 0 else {
            throw TLSClientError("the folder of CA certificates", folder, String(cString: strerror(errno)))
        }
        let count = gnutls_x509_trust_list_add_trust_dir(list, folder, nil, GNUTLS_X509_FMT_PEM, 0, 0)
        guard count > 0 else {
            throw TLSClientError(
                "the folder of CA certificates",
                folder,
                count < 0 ? text(count) : "there is no certificate in it"
            )
        }
    }

    /// Why a server's certificate is not good; nil if it is.
    ///
    /// - Parameter name: which it must be for, a host's or an IP address; nil for any.
    func problem(withServerOf session: OpaquePointer, name: String?) -> String? {
        var chain = PeerCertificates.certificates(of: session)
        defer { for certificate in chain { gnutls_x509_crt_deinit(certificate) } }
        guard !chain.isEmpty else { return "the server has shown no certificate" }
        var status: UInt32 = 0
        // One that says what it is for must say that it is for servers.
        let result = Array(GNUTLS_KP_TLS_WWW_SERVER.utf8CString).withUnsafeBufferPointer { purpose in
            Array((name ?? "").utf8CString).withUnsafeBufferPointer { name in
                var data = [
                    gnutls_typed_vdata_st(type: GNUTLS_DT_KEY_PURPOSE_OID, text: purpose),
                    gnutls_typed_vdata_st(type: GNUTLS_DT_DNS_HOSTNAME, text: name),
                ]
                let count = UInt32(name.count > 1 ? 2 : 1)
                return gnutls_x509_trust_list_verify_crt2(
                    list,
                    &chain,
                    UInt32(chain.count),
                    &data,
                    count,
                    shim_verify_flags,
                    &status,
                    nil
                )
            }
        }
        guard result == GNUTLS_E_SUCCESS else { return "the server's certificate: \(text(result))" }
        return status == 0 ? nil : Self.problem(status)
    }

    private static func problem(_ status: UInt32) -> String {
        func has(_ flags: gnutls_certificate_status_t...) -> Bool { flags.contains { status & $0.rawValue != 0 } }
        if has(GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_CERT_SIGNATURE_FAILURE) {
            return "the server's certificate is signed by no CA that is trusted here; give the file of its CA"
        }
        if has(GNUTLS_CERT_EXPIRED) { return "the server's certificate has expired" }
        if has(GNUTLS_CERT_NOT_ACTIVATED) { return "the server's certificate is not valid yet" }
        if has(GNUTLS_CERT_UNEXPECTED_OWNER) {
            return "the server's certificate is for another name; use its name in the URL or tell it as the server name"
        }
        if has(GNUTLS_CERT_INSECURE_ALGORITHM) {
            return "the server's certificate has a key or a signature that is too weak"
        }
        if has(GNUTLS_CERT_PURPOSE_MISMATCH) { return "the server's certificate is not for servers" }
        return "the server's certificate is not good (GnuTLS's status \(status))"
    }
}

/// The certificates that the other side of a session has shown, its own first.
enum PeerCertificates {
    /// More than these no honest chain has.
    private static let maximum: UInt32 = 16

    /// Each must be deinitialized.
    static func certificates(of session: OpaquePointer) -> [gnutls_x509_crt_t?] {
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(session, &count) else { return [] }
        return (0..<Int(min(count, maximum))).compactMap { certificate(chain[$0]) }
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

extension gnutls_typed_vdata_st {
    /// - Parameter text: with a zero at its end; it must outlive this.
    init(type: gnutls_vdata_types_t, text: UnsafeBufferPointer<CChar>) {
        self.init(
            type: type,
            data: UnsafeMutableRawPointer(mutating: text.baseAddress)?.assumingMemoryBound(to: UInt8.self),
            size: 0
        )
    }
}

extension [UInt8] {
    /// As GnuTLS takes bytes that it only reads.
    func withDatum<Result>(_ body: (UnsafePointer<gnutls_datum_t>) -> Result) -> Result {
        withUnsafeBufferPointer { buffer in
            var datum = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: buffer.baseAddress),
                size: UInt32(buffer.count)
            )
            return body(&datum)
        }
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

/// What a status of GnuTLS says.
func text(_ status: CInt) -> String { String(cString: gnutls_strerror(status)) }
