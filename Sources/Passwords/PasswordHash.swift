internal import CCrypt
internal import Glibc

/// A password's bcrypt hash, as `htpasswd -B` writes it: `$2y$10$` and 53 more characters.
package struct PasswordHash: Equatable, Sendable {
    /// Of a password bcrypt sees no more bytes than these.
    static let passwordBytes = 72
    /// The costs that are accepted. Each doubles the work: 10 takes some 50 ms, 16 several seconds, which is longer than
    /// a scrape lasts.
    package static let costs = 4...16

    let text: String

    /// - Returns: nil for what is no bcrypt hash, or one of a cost beyond `costs`.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 60, text.hasPrefix("$2"), bytes[3] == UInt8(ascii: "$"), bytes[6] == UInt8(ascii: "$"),
            // The rest of the family ($2x$) holds an old mistake.
            "aby".utf8.contains(bytes[2]),
            bytes[4...5].allSatisfy({ (0x30...0x39).contains($0) }),
            Self.costs.contains(Int(bytes[4] - 0x30) * 10 + Int(bytes[5] - 0x30)),
            bytes[7...].allSatisfy({ Self.alphabet.contains($0) })
        else { return nil }
        self.text = text
    }

    private static let alphabet = Set("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)

    /// Whether it is this password's. It takes as long as the cost says, whatever the password.
    func matches(_ password: [UInt8]) -> Bool {
        // A zero byte would end the password early.
        let isWhole = !password.contains(0)
        let password = password.prefix(Self.passwordBytes).map { CChar(bitPattern: $0 == 0 ? 1 : $0) } + [0]
        var memory: UnsafeMutableRawPointer?
        var size: CInt = 0
        defer { free(memory) }
        guard let found = crypt_ra(password, text, &memory, &size) else { return false }
        var difference: UInt8 = 0
        var next = found
        for byte in text.utf8 {
            difference |= UInt8(bitPattern: next.pointee) ^ byte
            if next.pointee != 0 { next += 1 }
        }
        return isWhole && difference == 0
    }
}
