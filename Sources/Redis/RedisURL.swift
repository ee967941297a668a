/// A URL of Redis taken apart and, except for its parameters, not yet decoded.
struct RedisURL {
    let scheme: String
    var credentials: Substring?
    var authority: Substring
    /// From the first slash on.
    var path: Substring
    var parameters: [Substring: String] = [:]

    private init(_ text: Substring) throws(RedisAddressError) {
        guard let schemeEnd = text.firstRange(of: "://") else {
            throw RedisAddressError(description: "not a URL; write redis://host:6379/0")
        }
        scheme = text[..<schemeEnd.lowerBound].lowercased()
        var rest = text[schemeEnd.upperBound...]
        // Such a character would end the URL within the password, and the start of it would pass for the host.
        if let end = rest.firstIndex(where: { $0 == "#" || $0 == "?" }), rest[end...].contains("@") {
            throw RedisAddressError(description: "write %23 for a #, %3F for a ? and %40 for an @ in user and password")
        }
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        if let question = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: question)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { parameters[parts[0]] = try Self.percentDecoded(parts[1]) }
            }
            rest = rest[..<question]
        }
        // The last "@" ends the credentials: people put unescaped ones into passwords.
        if let at = rest.lastIndex(of: "@") {
            credentials = rest[..<at]
            rest = rest[rest.index(after: at)...]
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        authority = rest[..<slash]
        path = rest[slash...]
    }

    var isSocket: Bool { ["unix", "redis+socket", "redis+unix"].contains(scheme) }

    // MARK: Lists

    /// The URLs of a list, of which the first is nearly always the only one: kombu takes several with semicolons between
    /// (`Connection.__init__`, `switch`), and what one does not say is said by another:
    ///
    /// - the database by the one before it, as the port, which is left to the caller;
    /// - parameters for TLS by the first;
    /// - a host alone (`redis://a/1;b`) is the first with another host.
    ///
    /// Unlike kombu it leaves a semicolon in a password, and blanks around the members out of them.
    static func list(_ text: String) throws(RedisAddressError) -> [RedisURL] {
        var urls: [RedisURL] = []
        for member in members(of: text) {
            guard let first = urls.first, let previous = urls.last else {
                urls.append(try RedisURL(member))
                continue
            }
            guard hasScheme(member) else {
                guard !member.contains(where: { "/?#".contains($0) }) else { throw missingScheme(first) }
                var url = first
                url.authority = member
                urls.append(url)
                continue
            }
            var url = try RedisURL(member)
            if !previous.isSocket, !url.isSocket, url.path.allSatisfy({ $0 == "/" }), url.parameters["db"] == nil {
                url.path = previous.path
            }
            if !url.parameters.keys.contains(where: { $0.hasPrefix("ssl_") }) {
                url.parameters.merge(first.parameters.filter { $0.key.hasPrefix("ssl_") }) { own, _ in own }
            }
            urls.append(url)
        }
        return urls
    }

    static func missingScheme(_ first: RedisURL) -> RedisAddressError {
        let known = RedisAddress.schemes.contains(first.scheme) ? first.scheme : "redis"
        return RedisAddressError(description: "write \(known):// before each host of the list")
    }

    private static func members(of text: String) -> [Substring] {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false).map(trimmed)
        // Whether a password ends in the part, or in one after it before another scheme.
        var leadsToPassword = false
        let isOfPassword =
            parts.reversed().map { part in
                leadsToPassword = !hasScheme(part) && (leadsToPassword || part.contains("@"))
                return leadsToPassword
            }.reversed() as [Bool]
        var members: [Substring] = []
        // Where the text between two semicolons begins is where its member does, if that has a scheme or ends no password.
        for (index, part) in parts.enumerated() {
            if isOfPassword[index], let last = members.popLast() {
                members.append(text[last.startIndex..<part.endIndex])
            } else if index == 0 || !part.isEmpty {
                members.append(part)
            }
        }
        return members
    }

    private static func hasScheme(_ text: Substring) -> Bool {
        guard let end = text.firstRange(of: "://") else { return false }
        return text[..<end.lowerBound].utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || "+-.".utf8.contains(byte)
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    // MARK: Decoding

    static func percentDecoded(_ text: some StringProtocol) throws(RedisAddressError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16) else {
                throw RedisAddressError(
                    description: "a % must be followed by two hexadecimal digits; write %25 for a %"
                )
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard !bytes.contains(0) else { throw RedisAddressError(description: "a URL must not hold a zero byte") }
        return String(decoding: bytes, as: UTF8.self)
    }
}
