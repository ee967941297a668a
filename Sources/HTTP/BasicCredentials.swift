internal import CGnuTLS

/// A name and a password, as a client sends them in the header `Authorization`. Source: RFC 7617.
struct BasicCredentials: Equatable {
    let user: String
    let password: [UInt8]

    init(user: String, password: [UInt8]) {
        self.user = user
        self.password = password
    }

    /// - Returns: nil for another scheme, and for what is no base64 or has no colon.
    init?(authorization: String) {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic" else { return nil }
        guard let bytes = Self.decode(Array(parts[1].utf8)), let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
            return nil
        }
        user = String(decoding: bytes[..<colon], as: UTF8.self)
        password = Array(bytes[(colon + 1)...])
    }

    private static func decode(_ text: [UInt8]) -> [UInt8]? {
        text.withUnsafeBufferPointer { buffer in
            var encoded = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: buffer.baseAddress),
                size: UInt32(buffer.count)
            )
            var decoded = gnutls_datum_t()
            guard gnutls_base64_decode2(&encoded, &decoded) == GNUTLS_E_SUCCESS else { return nil }
            defer { shim_gnutls_free(decoded.data) }
            return Array(UnsafeBufferPointer(start: decoded.data, count: Int(decoded.size)))
        }
    }
}
