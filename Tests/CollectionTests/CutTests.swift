import Reading
import System
import Testing

@Suite struct CutTests {
    @Test func isCutBetweenCharactersOfUnicode() {
        let text = String(repeating: "x", count: 1023) + "é" + String(repeating: "y", count: 2_000_000)
        #expect(text.cut() == String(repeating: "x", count: 1023) + "… (2001025 bytes)")
        #expect("éé".cut(toBytes: 3) == "é… (4 bytes)")
        #expect("éé".cut(toBytes: 4) == "éé")
        #expect("".cut() == "")
        // All of it is one character.
        #expect(("e" + String(repeating: "\u{301}", count: 100_000)).cut().utf8.count < 1100)
    }

    @Test func whatCollectionsTellIsBounded() {
        let text = String(repeating: "x", count: 5000)
        let told = [SourceError(.server, text).description, SourceProblem(.server, text).description]
        #expect(told == [text.cut(), text.cut()])
    }
}
