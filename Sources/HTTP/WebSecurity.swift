package import Passwords
internal import Synchronization
package import TLS

/// What a web configuration asks of a server.
package struct WebSecurity: Sendable {
    /// nil for plain HTTP.
    package var tls: TLSContext?
    /// Who may log in; without users, nobody needs to.
    package var users: [String: PasswordHash]
    package var headers: ResponseHeaders?

    package init(tls: TLSContext? = nil, users: [String: PasswordHash] = [:], headers: ResponseHeaders? = nil) {
        self.tls = tls
        self.users = users
        self.headers = headers
    }
}

/// The security that servers follow at present: each new connection its TLS, each new request its users and headers.
package final class CurrentWebSecurity: Sendable {
    private let security: Mutex<WebSecurity>
    /// Shared, so that several servers verify no more passwords at once than one.
    let verifier: LoginVerifier

    /// - Parameter logins: where logins that are right are kept across a restart.
    package init(_ security: WebSecurity, logins: LoginFile? = nil) {
        self.security = Mutex(security)
        verifier = LoginVerifier(file: logins)
    }

    var value: WebSecurity { security.withLock { $0 } }

    /// - Precondition: TLS is not switched on or off: servers that run cannot follow that.
    package func replace(with security: WebSecurity) {
        self.security.withLock { current in
            precondition((security.tls == nil) == (current.tls == nil))
            current = security
        }
    }
}
