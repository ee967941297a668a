import Testing

@testable import JSON

@Suite struct JSONParserTests {
    private func parse(_ text: String) -> JSONValue? {
        JSONParser.parse(Array(text.utf8))
    }

    @Test func allThatPythonWrites() {
        let text = #"""
             {"s": "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00", "i": 12345678901234567890123, "n": -1.5e3, "t": true, "f": false,
              "null": null, "a": [1, [], {}], "o": {"k": "é"}, "nan": NaN, "inf": -Infinity, "k": 1, "k": 2}
            """#
        guard case .object(var members) = parse(text) else {
            Issue.record("not read")
            return
        }
        if case .number(let value)? = members.removeValue(forKey: "nan") {
            #expect(value.isNaN)
        } else {
            Issue.record("no NaN")
        }
        #expect(
            members == [
                "s": .string("a\"\\/\u{8}\u{c}\n\r\té😀"), "i": .number(12_345_678_901_234_567_741_440),
                "n": .number(-1500),
                "t": .boolean(true), "f": .boolean(false), "null": .null,
                "a": .array([.number(1), .array([]), .object([:])]), "o": .object(["k": .string("é")]),
                "inf": .number(-.infinity), "k": .number(2),
            ]
        )
    }

    @Test func halfASurrogateAndBytesThatAreNotUTF8AreReplaced() {
        #expect(parse(#""\ud83d""#) == .string("\u{fffd}"))
        #expect(parse(#""\ud83dx\ude00""#) == .string("\u{fffd}x\u{fffd}"))
        #expect(parse(#""\ud83d\n""#) == .string("\u{fffd}\n"))
        #expect(JSONParser.parse([0x22, 0xff, 0x22]) == .string("\u{fffd}"))
    }

    @Test(arguments: [
        "", " ", "{", "}", "[1,]", "{\"a\"}", "{\"a\":}", "{a: 1}", "'a'", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u+123\"",
        "tru",
        "1 2", "--1", "+1", ".5", "1e", "\"\n\"", "nul", "[1", "{\"a\": 1,}", "0x10", "Inf",
    ])
    func refused(text: String) {
        #expect(parse(text) == nil)
    }

    @Test func nestingIsBounded() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(parse(nested(JSONParser.maximumDepth)) != nil)
        #expect(parse(nested(JSONParser.maximumDepth + 1)) == nil)
        #expect(parse(nested(1_000_000)) == nil)
    }

    @Test func whateverBytesComeNothingTraps() {
        var generator = SeededGenerator(seed: 7)
        let alphabet = Array(#"{}[]",:\u0123eE+-.truefalsnNIy "#.utf8) + [0, 0xff, 0xd8]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
            }
            _ = JSONParser.parse(bytes)
        }
    }
}

/// The same numbers at every run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
