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

    /// Files of a folder that are read.
    private static let maximumFiles = 1000

    /// Those of a folder that stand there under their hashes, as `openssl rehash` makes them: what else lies there is not
    /// trusted.
    func add(folder: String) throws(TLSClientError) {
        let what = "the folder of CA certificates"
        guard let directory = opendir(folder) else {
            throw TLSClientError(what, folder, String(cString: strerror(errno)))
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard Self.isHash(name) else { continue }
            guard names.count < Self.maximumFiles else {
                throw TLSClientError(what, folder, "there are more than \(Self.maximumFiles) certificates in it")
            }
            names.append(name)
        }
        for name in names { try add(file: "\(folder)/\(name)") }
    }

    /// Whether it is the name of a certificate by its hash, as `9d66eef0.0`.
    private static func isHash(_ name: String) -> Bool {
        let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].count == 8 && !parts[1].isEmpty
            && parts[0].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            && parts[1].allSatisfy { (0x30...0x39).contains($0) }
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
            // An address must be one of the certificate's addresses: a name that reads like it does not count.
            let address = name.flatMap(IPAddress.bytes)
            let owner = address?.map { CChar(bitPattern: $0) } ?? Array((name ?? "").utf8CString)
            return owner.withUnsafeBufferPointer { owner in
                var data = [
                    gnutls_typed_vdata_st(type: GNUTLS_DT_KEY_PURPOSE_OID, text: purpose),
                    gnutls_typed_vdata_st(
                        type: address == nil ? GNUTLS_DT_DNS_HOSTNAME : GNUTLS_DT_IP_ADDRESS,
                        text: owner,
                        size: address?.count ?? 0
                    ),
                ]
                let count = UInt32(name == nil ? 1 : 2)
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
