/// Reads along with a login for the rounds of hashing that the server asks of the client: libpq computes as many as it is
/// told, up to 2^31, and nothing stops it.
///
/// The server's first message is `r=NONCE,s=SALT,i=ROUNDS`. Source: RFC 5802, section 7. Neither nonce nor salt can hold a
/// comma.
struct ScramChallenge {
    /// PostgreSQL has 4096 unless `scram_iterations` says otherwise.
    static let maximumRounds = 100_000
    static let refusal =
        "the server asks for more than \(maximumRounds) rounds of hashing (scram_iterations) for a login"

    private static let attribute = Array(",i=".utf8)
    private var matched = 0
    /// Of the number that is being read; nil outside of one.
    private var rounds: Int?

    /// Reads on.
    /// - Returns: whether it asks for too many.
    mutating func read(_ bytes: some Sequence<UInt8>) -> Bool {
        bytes.contains { read($0) }
    }

    private mutating func read(_ byte: UInt8) -> Bool {
        if let number = rounds {
            if (0x30...0x39).contains(byte) {
                let longer = min(number * 10 + Int(byte - 0x30), Self.maximumRounds + 1)
                rounds = longer
                return longer > Self.maximumRounds
            }
            // libpq's `strtol` passes over blanks and a sign.
            if number == 0, byte == 0x20 || byte == UInt8(ascii: "+") || (0x09...0x0d).contains(byte) { return false }
            rounds = nil
        }
        matched = byte == Self.attribute[matched] ? matched + 1 : byte == Self.attribute[0] ? 1 : 0
        if matched == Self.attribute.count { (matched, rounds) = (0, 0) }
        return false
    }
}
