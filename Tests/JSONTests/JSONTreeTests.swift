import JSON
import Testing

@Suite struct JSONTreeTests {
    @Test func textsAndNumbersThatJSONHasNoWordFor() {
        func text(_ tree: JSONTree) -> String {
            var output: [UInt8] = []
            tree.write(to: &output)
            return String(decoding: output, as: UTF8.self)
        }
        #expect(text(.text("a\"\\\n\r\t\u{0}\u{1b}\u{9b}é🥬")) == #""a\"\\\n\r\t\u0000\u001b\u009bé🥬""#)
        let numbers = [1, -0.5, 1e300, 9_007_199_254_740_994, .infinity, -.infinity, .nan].map { text(.number($0)) }
        #expect(numbers == ["1", "-0.5", "1e+300", "9.007199254740994e+15", "null", "null", "null"])
        #expect(text(.list([])) == "[]")
        #expect(text(.object([])) == "{}")
    }
}
