package import Glibc

/// Whom a connection counts for: an IPv4 address, an IPv6 network of 64 bits (what one customer is given), or all the
/// clients of a Unix socket.
package struct ClientAddress: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// All that have no IP address.
    package static let local = ClientAddress(high: 0, low: 0)

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(_ address: UnsafePointer<sockaddr>?) {
        guard let address else {
            self = .local
            return
        }
        switch CInt(address.pointee.sa_family) {
        case AF_INET:
            let ipv4 = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
            self.init(ipv4: UInt32(bigEndian: ipv4))
        case AF_INET6:
            let bytes = withUnsafeBytes(of: UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self).sin6_addr) {
                Array($0)
            }
            self.init(ipv6: bytes)
        default:
            self = .local
        }
    }

    package init(ipv4: UInt32) {
        // As a socket for both families shows it: ::ffff:a.b.c.d.
        self.init(high: 0, low: 0xffff_0000_0000 | UInt64(ipv4))
    }

    /// - Parameter bytes: all 16 of an address.
    package init(ipv6 bytes: [UInt8]) {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let (high, low) = (number(bytes[0..<8]), number(bytes[8..<16]))
        // In the network of zeros are IPv4's addresses and ::1.
        self.init(high: high, low: high == 0 ? low : 0)
    }
}
