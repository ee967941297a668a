internal import Glibc
internal import System

extension TimeZone {
    /// Where the system keeps its zone files: TZDIR, as the C library has it, or the usual folder.
    package static let systemFolder = getenv("TZDIR").map { String(cString: $0) } ?? "/usr/share/zoneinfo"

    /// What helps where a zone is missing.
    package static let installation = "install or update tzdata"

    /// Reads a zone by its IANA name from the system's zone files. Where the system lacks the name, any other name of the
    /// same zone does.
    ///
    /// Own code rather than Foundation's TimeZone, which needs ICU and its tens of megabytes, and rather than the C
    /// library's `tzset`, which changes the zone of the whole process.
    /// - Returns: nil when the name is no plain IANA name, or the system has no such zone.
    package init?(identifier: String, folder: String = systemFolder) {
        if ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z"].contains(identifier) {
            self = .utc
            return
        }
        // The name came from a key that others wrote: it must not lead anywhere but into the folder.
        let parts = identifier.split(separator: "/", omittingEmptySubsequences: false)
        let plain = parts.allSatisfy { part in
            !part.isEmpty
                && part.utf8.allSatisfy { byte in
                    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                        || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+")
                }
        }
        guard plain, identifier.utf8.count <= 64 else { return nil }
        if let zone = Self.contents(of: "\(folder)/\(identifier)").flatMap({ TimeZone(tzif: $0) }) {
            self = zone
            return
        }
        let names = TimeZoneLinks.names(of: identifier)
        guard !names.contains("Etc/UTC"), !names.contains("Etc/GMT") else {
            self = .utc
            return
        }
        let others = names.lazy.filter { $0 != identifier }.compactMap { name in
            Self.contents(of: "\(folder)/\(name)").flatMap { TimeZone(tzif: $0) }
        }
        guard let zone = others.first else { return nil }
        self = zone
    }

    /// Reads a TZif file of version 2 or later. Source: RFC 9636.
    init?(tzif bytes: [UInt8]) {
        guard let old = TZifHeader(bytes, at: 0), old.version >= UInt8(ascii: "2") else { return nil }
        let start = TZifHeader.length + old.dataLength(timeLength: 4)
        guard let header = TZifHeader(bytes, at: start) else { return nil }
        let data = start + TZifHeader.length
        let end = data + header.dataLength(timeLength: 8)
        guard end <= bytes.count, header.typeCount > 0 else { return nil }

        let indices = data + header.transitionCount * 8
        let types = indices + header.transitionCount
        func offset(ofType type: Int) -> Int? {
            type < header.typeCount
                ? Int(Int32(truncatingIfNeeded: bigEndian(bytes, at: types + type * 6, length: 4))) : nil
        }
        var transitions: [Transition] = []
        for index in 0..<header.transitionCount {
            guard let offset = offset(ofType: Int(bytes[indices + index])) else { return nil }
            let moment = Int64(truncatingIfNeeded: bigEndian(bytes, at: data + index * 8, length: 8))
            if let last = transitions.last, last.moment >= moment { return nil }
            transitions.append(Transition(moment: moment, offset: offset))
        }
        let footer = bytes[end...].split(separator: UInt8(ascii: "\n")).first ?? []
        self.init(
            transitions: transitions,
            initialOffset: offset(ofType: 0) ?? 0,
            futureRule: PosixTimeZoneRule(String(decoding: footer, as: UTF8.self))
        )
    }

    private static func contents(of path: String) -> [UInt8]? {
        // The largest zone file has about 4 kB.
        try? SmallFile.contents(of: path, maximumBytes: 64 << 10)
    }
}

/// The header of one data block.
private struct TZifHeader {
    static let length = 44

    let version: UInt8
    let transitionCount: Int
    let typeCount: Int
    private let characterCount: Int
    private let leapCount: Int
    private let standardCount: Int
    private let utCount: Int

    init?(_ bytes: [UInt8], at start: Int) {
        guard bytes.count >= start + Self.length, bytes[start...].starts(with: "TZif".utf8) else { return nil }
        version = bytes[start + 4]
        let counts = (0..<6).map { Int(bigEndian(bytes, at: start + 20 + $0 * 4, length: 4)) }
        // Bounds the arithmetic below; real files have a few hundred.
        guard counts.allSatisfy({ $0 < 65_536 }) else { return nil }
        (utCount, standardCount, leapCount) = (counts[0], counts[1], counts[2])
        (transitionCount, typeCount, characterCount) = (counts[3], counts[4], counts[5])
    }

    func dataLength(timeLength: Int) -> Int {
        transitionCount * (timeLength + 1) + typeCount * 6 + characterCount + leapCount * (timeLength + 4)
            + standardCount
            + utCount
    }
}

private func bigEndian(_ bytes: [UInt8], at start: Int, length: Int) -> UInt64 {
    bytes[start..<start + length].reduce(0) { $0 << 8 | UInt64($1) }
}
