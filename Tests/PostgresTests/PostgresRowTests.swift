import Postgres
import Testing

/// Whatever a server sends, reading it ends nothing.
@Suite struct PostgresRowTests {
    @Test(arguments: [-1, 1, Int.max, .min])
    func columnsThatAreNotThere(column: Int) {
        let row = PostgresRow(columns: ["1"])
        #expect(row.text(column) == nil)
        #expect(row.integer(column) == nil)
        #expect(row.count(column) == nil)
        #expect(row.number(column) == nil)
        #expect(row.time(column) == nil)
        #expect(row.boolean(column) == nil)
    }

    @Test(
        arguments: [
            ("9223372036854775807", nil, nil), ("-9223372036854775808", nil, nil), ("9007199254740993", nil, nil),
            ("9007199254740992", 1 << 53, 1 << 53), ("-9007199254740992", -(1 << 53), 0), ("-1", -1, 0),
            ("9223372036854775808", nil, nil), ("1e3", nil, nil), ("", nil, nil), ("NaN", nil, nil), ("7", 7, 7),
        ] as [(String, Int64?, Int?)]
    )
    func wholeNumbers(text: String, integer: Int64?, count: Int?) {
        #expect(PostgresRow(columns: [text]).integer(0) == integer)
        #expect(PostgresRow(columns: [text]).count(0) == count)
    }

    @Test(
        arguments: [
            ("NaN", nil, nil), ("Infinity", nil, nil), ("-Infinity", nil, nil), ("1e999", nil, nil), ("x", nil, nil),
            ("1e300", nil, nil), ("-1e11", -1e11, nil), ("1795222000.25", 1_795_222_000.25, 1_795_222_000.25),
        ] as [(String, Double?, Double?)]
    )
    func numbersAndTimes(text: String, number: Double?, time: Double?) {
        #expect(PostgresRow(columns: [text]).number(0) == number)
        #expect(PostgresRow(columns: [text]).time(0) == time)
    }

    @Test func longTexts() {
        let text = PostgresRow(columns: ["a" + String(repeating: "\u{301}", count: 250_000)]).text(0)
        #expect(text?.utf8.count ?? 0 <= PostgresRow.longestText + 3)
    }
}
