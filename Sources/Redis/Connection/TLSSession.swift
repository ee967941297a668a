internal import COpenSSL
internal import Glibc

/// One TLS session over a socket that it neither owns nor waits for. OpenSSL is first used when the first of them begins.
final class TLSSession {
    private let session: OpaquePointer
    private let verification: RedisTLS.Verification

    /// Prepares a session with what the files hold now, so that renewed certificates are used without a restart.
    ///
    /// - Parameter host: the name or IP address that the server was found by.
    init(over descriptor: CInt, with tls: RedisTLS, host: String) throws(StreamError) {
        let context: OpaquePointer
        do {
            context = try tls.makeContext()
        } catch {
            throw .tls(error.description)
        }
        // The session keeps the context for as long as it needs it.
        defer { openSSL.SSL_CTX_free(context) }
        guard let session = openSSL.SSL_new(context) else { throw .tls("out of memory") }
        let name = tls.serverName ?? host
        var isPrepared = openSSL.SSL_set_fd(session, descriptor) == 1
        if tls.verification == .full {
            // A name is no IP address in text; then that address must be in the certificate.
            let isAddress = openSSL.X509_VERIFY_PARAM_set1_ip_asc(openSSL.SSL_get0_param(session), name) == 1
            if !isAddress {
                openSSL.ERR_clear_error()
                isPrepared = isPrepared && openSSL.SSL_set1_host(session, name) == 1
            }
        }
        // RFC 6066, 3: the server is told names, never addresses.
        if !Self.isAddress(name) { isPrepared = isPrepared && Self.tell(session, serverName: name) }
        guard isPrepared else {
            openSSL.SSL_free(session)
            throw .tls(lastTLSError())
        }
        openSSL.SSL_set_connect_state(session)
        self.session = session
        verification = tls.verification
    }

    deinit {
        openSSL.SSL_free(session)
    }

    /// One step of the handshake; `.moved(1)` when it is complete.
    func handshake() -> Transfer {
        outcome(of: openSSL.SSL_do_handshake(session))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        outcome(of: openSSL.SSL_read(session, buffer.baseAddress, CInt(clamping: buffer.count)))
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        outcome(of: openSSL.SSL_write(session, bytes.baseAddress, CInt(clamping: bytes.count)))
    }

    private func outcome(of result: CInt) -> Transfer {
        guard result <= 0 else { return .moved(Int(result)) }
        let systemError = errno
        // The thread's queue of errors must be empty before the next call.
        defer { openSSL.ERR_clear_error() }
        switch openSSL.SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ: return .mustWaitToRead
        case SSL_ERROR_WANT_WRITE: return .mustWaitToWrite
        case SSL_ERROR_ZERO_RETURN: return .ended
        case SSL_ERROR_SYSCALL where systemError == 0: return .ended
        case SSL_ERROR_SYSCALL: return .failed(.lost(String(cString: strerror(systemError))))
        case _ where shim_is_end_of_file(openSSL.ERR_peek_error()) == 1: return .ended
        default: return .failed(.tls(failure()))
        }
    }

    /// What went wrong, in the words of someone who can mend it.
    private func failure() -> String {
        let error = openSSL.ERR_peek_error()
        let alert = shim_alert(error)
        if alert != 0 { return Self.refusal(alert) }
        if shim_is_no_tls(error) == 1 { return "the server does not speak TLS on this port" }
        let verdict = openSSL.SSL_get_verify_result(session)
        guard verification != .none, verdict != X509_V_OK else { return lastTLSError() }
        switch CInt(verdict) {
        case X509_V_ERR_CERT_HAS_EXPIRED: return "the server's certificate has expired"
        case X509_V_ERR_CERT_NOT_YET_VALID: return "the server's certificate is not valid yet"
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            return "the server's certificate is for another name; use its name in the URL or tell it as the server name"
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_SIGNATURE_FAILURE:
            return "the server's certificate is signed by no CA that is trusted here; give the file of its CA"
        default: return "the server's certificate: \(text(openSSL.X509_verify_cert_error_string(verdict)))"
        }
    }

    /// What the server said when it refused us. Source of the numbers: RFC 8446, section 6.
    private static func refusal(_ alert: CInt) -> String {
        switch alert {
        // A server that wants a certificate says 116 in TLS 1.3, 40 in 1.2.
        case 116: "the server asks for a client certificate; give one and its key"
        case 40: "the server refused the handshake; it may ask for a client certificate or for other ciphers"
        case 42, 43, 46: "the server does not take our client certificate"
        case 44, 45: "our client certificate has expired or was revoked"
        case 48: "the server does not know the CA of our client certificate"
        case 70: "the server speaks no TLS 1.2 or later"
        default: "the server refused: \(text(openSSL.SSL_alert_desc_string_long(alert)))"
        }
    }

    private static func tell(_ session: OpaquePointer, serverName: String) -> Bool {
        serverName.withCString { name in
            openSSL.SSL_ctrl(
                session,
                SSL_CTRL_SET_TLSEXT_HOSTNAME,
                Int(TLSEXT_NAMETYPE_host_name),
                UnsafeMutableRawPointer(mutating: name)
            ) == 1
        }
    }

    private static func isAddress(_ text: String) -> Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1
    }
}

/// Why files cannot be used for TLS.
package struct RedisTLSError: Error, Equatable, CustomStringConvertible {
    /// The file or folder; nil where the reason is another.
    package var path: String?
    package let description: String
}

extension RedisTLS {
    /// Reads the files and throws what is wrong with them.
    package func check() throws(RedisTLSError) {
        let context = try makeContext()
        openSSL.SSL_CTX_free(context)
    }

    fileprivate func makeContext() throws(RedisTLSError) -> OpaquePointer {
        if let missingOpenSSL {
            throw RedisTLSError(description: "load OpenSSL: \(missingOpenSSL); install its library (Debian: libssl3)")
        }
        openSSL.ERR_clear_error()
        guard let context = openSSL.SSL_CTX_new(openSSL.TLS_client_method()) else {
            throw RedisTLSError(description: lastTLSError())
        }
        do throws(RedisTLSError) {
            let leastVersion = Int(TLS1_2_VERSION)
            guard openSSL.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, leastVersion, nil) == 1 else {
                throw RedisTLSError(description: lastTLSError())
            }
            // Idle connections keep no buffers, and a write that is tried again may come from another place.
            let modes =
                SSL_MODE_ENABLE_PARTIAL_WRITE | UInt32(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) | SSL_MODE_RELEASE_BUFFERS
            _ = openSSL.SSL_CTX_ctrl(context, SSL_CTRL_MODE, Int(modes), nil)
            openSSL.SSL_CTX_set_verify(context, verification == .none ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nil)
            try trust(in: context)
            try identify(in: context)
        } catch {
            openSSL.SSL_CTX_free(context)
            throw error
        }
        return context
    }

    private func trust(in context: OpaquePointer) throws(RedisTLSError) {
        guard verification != .none else { return }
        if caFile == nil, caFolder == nil {
            _ = openSSL.SSL_CTX_set_default_verify_paths(context)
            return
        }
        if let caFile, openSSL.SSL_CTX_load_verify_file(context, caFile) != 1 {
            throw Self.unusable("the CA certificates", caFile)
        }
        if let caFolder, openSSL.SSL_CTX_load_verify_dir(context, caFolder) != 1 {
            throw Self.unusable("the folder of CA certificates", caFolder)
        }
    }

    private func identify(in context: OpaquePointer) throws(RedisTLSError) {
        guard let certificateFile else { return }
        // OpenSSL would ask the terminal for the password of an encrypted key. An empty one is wrong at once.
        openSSL.SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }
        guard openSSL.SSL_CTX_use_certificate_chain_file(context, certificateFile) == 1 else {
            throw Self.unusable("the client certificate", certificateFile)
        }
        let keyFile = keyFile ?? certificateFile
        guard openSSL.SSL_CTX_use_PrivateKey_file(context, keyFile, SSL_FILETYPE_PEM) == 1 else {
            throw Self.unusable("the client certificate's key", keyFile)
        }
    }

    private static func unusable(_ what: String, _ path: String) -> RedisTLSError {
        RedisTLSError(path: path, description: "cannot use \(what), \(path): \(lastTLSError())")
    }
}

/// The first error of the thread's queue, which is emptied.
private func lastTLSError() -> String {
    defer { openSSL.ERR_clear_error() }
    let error = openSSL.ERR_peek_error()
    let systemError = shim_system_error(error)
    if systemError != 0 { return String(cString: strerror(systemError)) }
    return text(openSSL.ERR_reason_error_string(error))
}

private func text(_ description: UnsafePointer<CChar>?) -> String {
    description.map { String(cString: $0) } ?? "unknown error of OpenSSL"
}
