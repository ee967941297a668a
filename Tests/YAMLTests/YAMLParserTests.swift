import Testing

@testable import YAML

@Suite struct YAMLParserTests {
    private func parse(_ text: String) throws(YAMLError) -> YAMLNode? {
        try YAMLNode.parse(Array(text.utf8))
    }

    @Test func valuesKeepTheirLines() throws {
        let node = try parse(
            """
            # about it
            beat:
              grace: 2s
            schedule:
              - task: "shop.orders: import"
                every: 10s

              - {task: 'b', crontab: 0 4 * * *}
            """
        )
        func pair(_ key: String, _ line: Int, _ value: YAMLNode.Content, at valueLine: Int? = nil) -> YAMLNode.Pair {
            YAMLNode.Pair(key: key, line: line, value: YAMLNode(value, line: valueLine ?? line))
        }
        func quoted(_ key: String, _ line: Int, _ value: String) -> YAMLNode.Pair {
            YAMLNode.Pair(key: key, line: line, value: YAMLNode(.scalar(value), line: line, isQuoted: true))
        }
        let expected = YAMLNode(
            .mapping([
                pair("beat", 2, .mapping([pair("grace", 3, .scalar("2s"))]), at: 3),
                pair(
                    "schedule",
                    4,
                    .sequence([
                        YAMLNode(
                            .mapping([
                                quoted("task", 5, "shop.orders: import"), pair("every", 6, .scalar("10s")),
                            ]),
                            line: 5
                        ),
                        YAMLNode(
                            .mapping([quoted("task", 8, "b"), pair("crontab", 8, .scalar("0 4 * * *"))]),
                            line: 8
                        ),
                    ]),
                    at: 5
                ),
            ]),
            line: 2
        )
        #expect(node == expected)
    }

    @Test func nothing() throws {
        #expect(try parse("") == nil)
        #expect(try parse("# only words\n") == nil)
        #expect(try parse("---\n")?.isNull == true)
        #expect(try parse("~")?.isNull == true)
    }

    @Test(arguments: [
        ("a: 1\nb: [", 3), ("a: 1\n\tb: 2", 2), ("a: &x 1\nb: *x", 2), ("a: 1\n---\nb: 2", 2), ("a: 1\nb: 2\na: 3", 3),
        ("[a]: 1", 1), ("a: \u{0}", 1), (String(repeating: "[", count: 40) + String(repeating: "]", count: 40), 1),
        ("- a\nb: 1", 2), ("a: 1\nb: !!str 2", 2), ("a: !x [1]", 1), ("!x {a: 1}", 1),
        (String(repeating: "a", count: 2 << 20), 1),
        ("[" + String(repeating: "a,", count: 200_000) + "]", 1),
        // Left to libyaml this would take a quarter of an hour.
        (String(repeating: "[", count: 1 << 20), 1),
    ])
    func refused(text: String, line: Int) {
        let error = #expect(throws: YAMLError.self) { try parse(text) }
        #expect(error?.line == line, "\(error?.problem ?? "")")
        #expect(error.map { !$0.problem.contains("\n") } == true)
    }

    @Test func bytesThatAreNoText() {
        #expect(throws: YAMLError.self) { try YAMLNode.parse([0x61, 0x3a, 0x20, 0xff, 0xfe]) }
    }
}
