internal import CGnuTLS

/// HMAC-SHA256 under a key that only this program knows.
package struct KeyedDigest: Sendable {
    package static let keyBytes = 32
    package static let bytes = 32

    package let key: [UInt8]

    /// - Parameter key: nil for a new one.
    package init(key: [UInt8]? = nil) {
        self.key = key ?? Self.newKey
    }

    private static var newKey: [UInt8] {
        var key = [UInt8](repeating: 0, count: keyBytes)
        let status = gnutls_rnd(GNUTLS_RND_KEY, &key, key.count)
        precondition(status == GNUTLS_E_SUCCESS, "the system has no random numbers")
        return key
    }

    package func of(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Self.bytes)
        let status = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key.count, bytes, bytes.count, &digest)
        precondition(status == GNUTLS_E_SUCCESS, "GnuTLS knows no HMAC-SHA256")
        return digest
    }
}
