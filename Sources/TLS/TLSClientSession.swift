internal import CGnuTLS
internal import Glibc
internal import System

/// The client's side of a TLS session, over a socket that it neither owns nor waits for.
package final class TLSClientSession {
    private let session: OpaquePointer
    private let identity: gnutls_certificate_credentials_t
    private let verification: TLSClientConfiguration.Verification
    private let name: String
    /// Nil once the server's certificate was looked at: all the system's CAs take megabytes.
    private var trust: TrustedAuthorities?
    /// Why the server's certificate is not good.
    private var problem: String?

    /// Prepares a session with what the files hold now, so that renewed certificates are used without a restart.
    ///
    /// - Parameters:
    ///   - descriptor: a connected socket that does not block, and outlives the session.
    ///   - host: the name or IP address that the server was found by.
    package init(
        over descriptor: CInt,
        with configuration: TLSClientConfiguration,
        host: String
    ) throws(StreamError) {
        do {
            trust = try configuration.authorities()
            identity = try configuration.identity()
        } catch {
            throw .tls(error.description)
        }
        // A server that names the CAs it takes gets our certificate all the same, and says why it does not take it.
        let flags =
            UInt32(GNUTLS_CLIENT) | UInt32(GNUTLS_NONBLOCK) | UInt32(GNUTLS_NO_SIGNAL.rawValue)
            | UInt32(GNUTLS_FORCE_CLIENT_CERT.rawValue)
        var session: OpaquePointer?
        guard gnutls_init(&session, flags) == GNUTLS_E_SUCCESS, let session else {
            gnutls_certificate_free_credentials(identity)
            throw .tls("out of memory")
        }
        self.session = session
        verification = configuration.verification
        name = configuration.serverName ?? host
        gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", nil)
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(identity))
        // RFC 6066, 3: the server is told names, never addresses.
        if IPAddress.bytes(name) == nil { gnutls_server_name_set(session, GNUTLS_NAME_DNS, name, name.utf8.count) }
        gnutls_transport_set_int2(session, descriptor, descriptor)
        // Within the handshake: a server that is not the right one learns nothing of our own certificate.
        if trust != nil {
            gnutls_session_set_ptr(session, Unmanaged.passUnretained(self).toOpaque())
            gnutls_certificate_set_verify_function(identity, verifyServer)
        }
    }

    deinit {
        gnutls_deinit(session)
        gnutls_certificate_free_credentials(identity)
    }

    /// One step of the handshake; `.moved(1)` when it is complete and the server's certificate is good.
    package func handshake() -> Transfer {
        let status = gnutls_handshake(session)
        if let problem { return .failed(.tls(problem)) }
        guard status == GNUTLS_E_SUCCESS else { return outcome(of: Int(status), inHandshake: true) }
        guard trust == nil else { return .failed(.tls("the server has shown no certificate")) }
        return .moved(1)
    }

    /// Whether the certificate that the server has shown is good.
    fileprivate func acceptsServer() -> Bool {
        problem = trust?.problem(withServerOf: session, name: verification == .full ? name : nil)
        trust = nil
        return problem == nil
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        outcome(of: gnutls_record_recv(session, buffer.baseAddress, buffer.count))
    }

    /// - Parameter bytes: after `.mustWaitToWrite` the same ones, with or without others behind them.
    package func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        outcome(of: gnutls_record_send(session, bytes.baseAddress, bytes.count))
    }

    private func outcome(of result: Int, inHandshake: Bool = false) -> Transfer {
        let systemError = errno
        guard result <= 0 else { return .moved(result) }
        switch CInt(clamping: result) {
        case 0, GNUTLS_E_PREMATURE_TERMINATION: return .ended
        // A server that wants to shake hands anew may be ignored. Source: GnuTLS's manual, "Re-authentication".
        case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED, GNUTLS_E_REHANDSHAKE, GNUTLS_E_WARNING_ALERT_RECEIVED:
            return gnutls_record_get_direction(session) == 0 ? .mustWaitToRead : .mustWaitToWrite
        case GNUTLS_E_PULL_ERROR, GNUTLS_E_PUSH_ERROR: return .failed(.lost(String(cString: strerror(systemError))))
        case GNUTLS_E_FATAL_ALERT_RECEIVED: return .failed(.tls(Self.refusal(gnutls_alert_get(session))))
        case GNUTLS_E_UNSUPPORTED_VERSION_PACKET, GNUTLS_E_UNEXPECTED_PACKET, GNUTLS_E_UNEXPECTED_PACKET_LENGTH,
            GNUTLS_E_RECORD_OVERFLOW:
            let problem = text(CInt(clamping: result))
            return .failed(.tls(inHandshake ? "the server speaks no TLS on this port" : problem))
        case let status: return .failed(.tls(text(status)))
        }
    }

    /// What the server said when it refused us. Source of the numbers: RFC 8446, section 6.
    private static func refusal(_ alert: gnutls_alert_description_t) -> String {
        switch alert.rawValue {
        // A server that wants a certificate says 116 in TLS 1.3, 40 in 1.2.
        case 116: "the server asks for a client certificate; give one and its key"
        case 40: "the server refused the handshake; it may ask for a client certificate or for other ciphers"
        case 42, 43, 46: "the server does not take our client certificate"
        case 44, 45: "our client certificate has expired or was revoked"
        case 48: "the server does not know the CA of our client certificate"
        case 70: "the server speaks no TLS 1.2 or later"
        case let other:
            "the server refused: \(gnutls_alert_get_name(alert).map { String(cString: $0) } ?? "alert \(other)")"
        }
    }
}

/// GnuTLS's callback within a handshake, when the server's certificates have come. On an error GnuTLS ends the handshake.
private func verifyServer(_ session: OpaquePointer?) -> CInt {
    guard let session, let context = gnutls_session_get_ptr(session) else { return GNUTLS_E_CERTIFICATE_ERROR }
    let client = Unmanaged<TLSClientSession>.fromOpaque(context).takeUnretainedValue()
    guard !client.acceptsServer() else { return GNUTLS_E_SUCCESS }
    // So that the server's log says why.
    gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE)
    return GNUTLS_E_CERTIFICATE_ERROR
}
