internal import Glibc

/// Which addresses servers may lead to: sentinels by the master they name, a cluster by its nodes and redirections.
///
/// Host names are compared as they are told and never resolved: a network holds addresses alone.
package struct AllowedNodes: Equatable, Sendable {
    private let patterns: [Pattern]

    /// Patterns that one list may have.
    private static let maximumPatterns = 1000

    fileprivate struct Pattern: Equatable, Sendable {
        enum Host: Equatable, Sendable {
            case any
            case name(String)
            /// With the dot before it.
            case suffix(String)
            /// So many bits of an address in network order: 4 bytes or 16.
            case network([UInt8], bits: Int)
        }

        let host: Host
        /// Nil for any port.
        let port: UInt16?
    }

    /// Reads `10.0.0.0/8`, `redis-1.internal`, `*.redis.internal:6379`, `[2001:db8::/32]:6379`, `*`, with commas between.
    ///
    /// - Returns: nil where one is none of these.
    package init?(_ text: String) {
        let texts = text.split(separator: ",", omittingEmptySubsequences: false)
        var patterns: [Pattern] = []
        for text in texts {
            guard let pattern = Pattern(text.filter { !$0.isWhitespace }) else { return nil }
            patterns.append(pattern)
        }
        guard (1...Self.maximumPatterns).contains(patterns.count) else { return nil }
        self.patterns = patterns
    }

    package func contains(_ endpoint: RedisEndpoint) -> Bool {
        guard case .tcp(let host, let port) = endpoint else { return false }
        let address = Self.address(host)
        let name = Self.name(host)
        return patterns.contains { pattern in
            guard pattern.port ?? port == port else { return false }
            switch pattern.host {
            case .any: return true
            case .name(let text): return address == nil && text == name
            case .suffix(let text): return address == nil && name.hasSuffix(text)
            case .network(let network, let bits):
                guard let address, address.count == network.count else { return false }
                return Self.bits(address, bits) == Self.bits(network, bits)
            }
        }
    }

    /// An IP address in network order; nil for a name. IPv4 within IPv6 is IPv4.
    fileprivate static func address(_ text: some StringProtocol) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, String(text), &bytes) == 1 { return Array(bytes.prefix(4)) }
        guard inet_pton(AF_INET6, String(text), &bytes) == 1 else { return nil }
        return bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] ? Array(bytes.suffix(4)) : bytes
    }

    /// Names of hosts are the same in capitals, and with a dot at their end.
    fileprivate static func name(_ host: some StringProtocol) -> String {
        let name = host.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }

    /// An address without what follows its first bits.
    private static func bits(_ address: [UInt8], _ count: Int) -> [UInt8] {
        address.enumerated().map { index, byte in
            let kept = min(max(count - 8 * index, 0), 8)
            return kept == 0 ? 0 : byte & UInt8.max << UInt8(8 - kept)
        }
    }
}

extension AllowedNodes.Pattern {
    fileprivate init?(_ text: String) {
        var host = text[...]
        var port: Substring?
        if text.hasPrefix("["), let end = text.lastIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":"), colon == text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        if let port {
            guard let number = UInt16(port), number > 0 else { return nil }
            self.port = number
        } else {
            self.port = nil
        }
        guard let host = Self.host(host) else { return nil }
        self.host = host
    }

    private static func host(_ text: Substring) -> Host? {
        if text == "*" { return .any }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if let address = AllowedNodes.address(parts[0]) {
            let most = address.count * 8
            guard parts.count > 1 else { return .network(address, bits: most) }
            guard parts.count == 2, var bits = Int(parts[1]) else { return nil }
            // IPv4 within IPv6.
            if most == 32, parts[0].contains(":") { bits -= 96 }
            guard (0...most).contains(bits) else { return nil }
            return .network(address, bits: bits)
        }
        let isSuffix = text.hasPrefix("*.")
        let name = AllowedNodes.name(isSuffix ? text.dropFirst() : text)
        let isName = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || "-_.".utf8.contains(byte)
        }
        guard isName, (isSuffix ? 2...255 : 1...255).contains(name.utf8.count) else { return nil }
        return isSuffix ? .suffix(name) : .name(name)
    }
}
