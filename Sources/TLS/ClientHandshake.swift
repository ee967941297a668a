internal import CGnuTLS
internal import Glibc
package import System

/// The client's side of a TLS handshake, for learning whether TLS is spoken: it verifies nothing, and sends nothing of its own.
package final class ClientHandshake {
    private let session: OpaquePointer
    private let credentials: gnutls_certificate_credentials_t

    /// - Parameter descriptor: a connected socket that does not block, and outlives the handshake.
    package init?(on descriptor: CInt) {
        var session: OpaquePointer?
        var credentials: gnutls_certificate_credentials_t?
        guard gnutls_certificate_allocate_credentials(&credentials) == GNUTLS_E_SUCCESS, let credentials else {
            return nil
        }
        let flags = UInt32(GNUTLS_CLIENT) | UInt32(GNUTLS_NONBLOCK) | UInt32(GNUTLS_NO_SIGNAL.rawValue)
        guard gnutls_init(&session, flags) == GNUTLS_E_SUCCESS, let session else {
            gnutls_certificate_free_credentials(credentials)
            return nil
        }
        // Whatever the server may be told to speak, its oldest versions included.
        gnutls_priority_set_direct(session, "NORMAL:+VERS-TLS-ALL:+SHA1", nil)
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(credentials))
        gnutls_transport_set_int2(session, descriptor, descriptor)
        self.session = session
        self.credentials = credentials
    }

    deinit {
        gnutls_deinit(session)
        gnutls_certificate_free_credentials(credentials)
    }

    /// Goes on with it.
    /// - Returns: what it waits for; nil if it has ended, well or badly.
    package func proceed() -> DescriptorWait.Readiness? {
        while true {
            let status = gnutls_handshake(session)
            if status == GNUTLS_E_AGAIN || status == GNUTLS_E_INTERRUPTED {
                return gnutls_record_get_direction(session) == 0 ? .readable : .writable
            }
            if status == GNUTLS_E_SUCCESS || gnutls_error_is_fatal(status) != 0 { return nil }
        }
    }

    /// Whether the server has shown a certificate; it may have ended the handshake since, for want of the client's.
    package var hasServerCertificate: Bool {
        var count: UInt32 = 0
        return gnutls_certificate_get_peers(session, &count) != nil && count > 0
    }
}
