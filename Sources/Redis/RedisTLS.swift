/// How to speak TLS with a server: 1.2 or later.
package struct RedisTLS: Equatable, Sendable {
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
}
