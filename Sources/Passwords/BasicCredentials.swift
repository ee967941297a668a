internal import System

/// A name and a password, as a client sends them in the header `Authorization`. Source: RFC 7617.
package struct BasicCredentials: Equatable {
    package let user: String
    package let password: [UInt8]

    package init(user: String, password: [UInt8]) {
        self.user = user
        self.password = password
    }

    /// - Returns: nil for another scheme, and for what is no base64 or has no colon.
    package init?(authorization: String) {
        let parts = authorization.split(separator: " ")
        guard parts.count == 2, parts[0].lowercased() == "basic" else { return nil }
        guard let bytes = Base64.decode(String(parts[1])), let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
            return nil
        }
        user = String(decoding: bytes[..<colon], as: UTF8.self)
        password = Array(bytes[(colon + 1)...])
    }
}
