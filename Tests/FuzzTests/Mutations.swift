/// Makes hostile inputs from good ones. The same seed makes the same input.
struct Mutations {
    /// Longer inputs are cut.
    static let maximumBytes = 64 << 10

    private let corpus: [[UInt8]]
    private var random: SeededGenerator

    init(of corpus: [[UInt8]], seed: UInt64) {
        self.corpus = corpus
        random = SeededGenerator(seed: seed)
    }

    /// One of the corpus, changed in one to eight ways.
    mutating func next() -> [UInt8] {
        var bytes = corpus.randomElement(using: &random) ?? []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            mutate(&bytes)
            if bytes.count > Self.maximumBytes { bytes.removeLast(bytes.count - Self.maximumBytes) }
        }
        return bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let range = place..<min(bytes.count, place + Int.random(in: 0...16, using: &random))
        switch Int.random(in: 0..<11, using: &random) {
        case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 2: bytes.removeSubrange(range)
        case 3: bytes.removeSubrange(place...)
        case 4: bytes.insert(contentsOf: repeated(Array(bytes[range])), at: place)
        case 5: splice(into: &bytes, at: place)
        case 6: replaceNumber(in: &bytes, near: place)
        case 7: nest(&bytes, at: place)
        case 8: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        default: bytes.insert(contentsOf: Self.pieces.randomElement(using: &random) ?? [], at: place)
        }
    }

    private mutating func repeated(_ piece: [UInt8]) -> [UInt8] {
        let times = [1, 2, 10, 100, 5000].randomElement(using: &random) ?? 1
        return Array(repeatElement(piece, count: times).joined())
    }

    /// The end of another one of the corpus.
    private mutating func splice(into bytes: inout [UInt8], at place: Int) {
        let other = corpus.randomElement(using: &random) ?? []
        bytes.replaceSubrange(place..., with: other.suffix(Int.random(in: 0...other.count, using: &random)))
    }

    private mutating func replaceNumber(in bytes: inout [UInt8], near place: Int) {
        func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
        guard let start = bytes[place...].firstIndex(where: isDigit) ?? bytes.firstIndex(where: isDigit) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.endIndex
        bytes.replaceSubrange(start..<end, with: Self.numbers.randomElement(using: &random) ?? [])
    }

    private mutating func nest(_ bytes: inout [UInt8], at place: Int) {
        let brackets = ["[", "{", "(", "{\"a\":", "- ", "*1\r\n"].randomElement(using: &random) ?? ""
        bytes.insert(contentsOf: repeated(Array(brackets.utf8)), at: place)
    }

    private static let numbers = [
        "0", "-1", "1", "59", "60", "127", "255", "256", "32768", "65535", "65536", "2147483647", "2147483648",
        "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "18446744073709551616", "1e308", "1e309", "-1e400", "1e-400", "0.1", "0x10", "1_000", "NaN", "-nan", "inf",
        "-Infinity", "٣", String(repeating: "9", count: 400), String(repeating: "0", count: 400) + "1",
    ].map { Array($0.utf8) }

    private static let pieces =
        [
            "\"", "'", "\\", "\\u0000", "\\ud800", "\\udc00\\ud800", "\n", "\r\n", "\t", "\u{7f}", "\u{85}", "\u{2028}",
            "\u{feff}", "e\u{301}", "ß", "İ", "%00", "%", "%zz", "/", "//", "..", "../", ":", ";", ",", "@", "#", "?",
            "&", "=", "*", "-", "+", "|", ">", "!", "~", "null", "true", "<>", "[", "]", "{", "}", "&a", "*a", "$", "`",
            "\u{1b}[31m", "\u{6}\u{16}",
        ].map { Array($0.utf8) } + [[0], [0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x1e]]
}

/// SplitMix64, by Sebastiano Vigna: good enough, and the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
