import Collection
import Testing

@Suite struct LineTests {
    @Test(arguments: [
        ("", ""), ("one line", "one line"), ("é 🥬", "é 🥬"), ("two\r\nlines\t", "two\\r\\nlines\\t"),
        ("\u{1b}[31m\u{9b}2J\u{7}\u{0}", "\\u001b[31m\\u009b2J\\u0007\\u0000"), ("\u{2028}", "\\u2028"),
    ])
    func isOneLine(_ text: String, _ line: String) {
        #expect(text.line == line)
    }

    @Test func isCutBetweenCharactersOfUnicode() {
        let text = String(repeating: "x", count: 1023) + "é" + String(repeating: "y", count: 2_000_000)
        #expect(text.line == String(repeating: "x", count: 1023) + "… (2001025 bytes)")
        #expect("éé".cut(toBytes: 3) == "é… (4 bytes)")
        #expect("éé".cut(toBytes: 4) == "éé")
        // All of it is one character.
        #expect(("e" + String(repeating: "\u{301}", count: 100_000)).line.utf8.count < 1100)
    }

    @Test func whatCollectionsTellIsOne() {
        let text = "forged\n" + String(repeating: "x", count: 5000)
        for told in [CollectionError(.server, text).description, CollectionProblem(.server, text).description] {
            #expect(told.utf8.count < 1100)
            #expect(!told.contains("\n"))
        }
    }
}
