/// One row of a result, copied out of libpq: columns as text, or nil for NULL.
///
/// A server may send whatever it likes: a column that is not there is NULL, and no number is beyond what can be reckoned with.
package struct PostgresRow: Equatable, Sendable {
    package let columns: [String?]

    /// Numbers are taken for no larger than this, 2^53: sums of some of them cannot overflow, and a `Double` holds each.
    package static let largestInteger: Int64 = 1 << 53
    /// Seconds since 1970 of the latest time, in the year 5138, and of the earliest, negated.
    package static let latestTime = 1e11

    package init(columns: [String?]) {
        self.columns = columns
    }

    /// Bytes of a text that are taken; questions ask for no more than that.
    package static let longestText = 1000

    /// The column as text; bytes that are not UTF-8 are replaced by U+FFFD.
    package func text(_ column: Int) -> String? {
        guard columns.indices.contains(column), let text = columns[column] else { return nil }
        let bytes = text.utf8
        return bytes.count <= Self.longestText ? text : String(decoding: bytes.prefix(Self.longestText), as: UTF8.self)
    }

    package func integer(_ column: Int) -> Int64? {
        text(column).flatMap { Int64($0) }.map { min(max($0, -Self.largestInteger), Self.largestInteger) }
    }

    /// How many: never negative.
    package func count(_ column: Int) -> Int? { integer(column).map { Int(max(0, $0)) } }

    /// A finite number.
    package func number(_ column: Int) -> Double? {
        text(column).flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil }
    }

    /// A time in Unix seconds; nil for those that are infinite, or beyond every calendar.
    package func time(_ column: Int) -> Double? { number(column).flatMap { abs($0) < Self.latestTime ? $0 : nil } }

    /// PostgreSQL writes booleans as `t` and `f`.
    package func boolean(_ column: Int) -> Bool? { text(column).map { $0 == "t" } }
}
