/// Which of a cluster's 16,384 slots a key belongs to.
///
/// Source: Redis Cluster specification, "Key distribution model" and "Hash tags".
package enum HashSlot {
    static let count = 16_384

    static func of(_ key: [UInt8]) -> Int {
        Int(checksum(tag(of: key))) % count
    }

    /// Whether all keys that begin with `prefix` are in one slot.
    package static func isTagged(prefix: String) -> Bool {
        let bytes = Array(prefix.utf8)
        return tag(of: bytes).count < bytes.count
    }

    /// What stands between the first `{` and the next `}`, if anything does, so that keys can be kept together.
    private static func tag(of key: [UInt8]) -> ArraySlice<UInt8> {
        guard let open = key.firstIndex(of: UInt8(ascii: "{")),
            let close = key[(open + 1)...].firstIndex(of: UInt8(ascii: "}")), close > open + 1
        else { return key[...] }
        return key[(open + 1)..<close]
    }

    /// CRC-16/XMODEM.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        bytes.reduce(0) { checksum, byte in
            (0..<8).reduce(checksum ^ UInt16(byte) << 8) { value, _ in
                value & 0x8000 == 0 ? value << 1 : value << 1 ^ 0x1021
            }
        }
    }
}
