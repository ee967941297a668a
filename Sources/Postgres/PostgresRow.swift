/// One row of a result, copied out of libpq: columns as text, or nil for NULL.
package struct PostgresRow: Equatable, Sendable {
    package let columns: [String?]

    /// The column as text; bytes that are not UTF-8 are replaced by U+FFFD.
    package func text(_ column: Int) -> String? { columns[column] }

    package func integer(_ column: Int) -> Int64? { columns[column].flatMap { Int64($0) } }

    package func number(_ column: Int) -> Double? { columns[column].flatMap { Double($0) } }

    /// PostgreSQL writes booleans as `t` and `f`.
    package func boolean(_ column: Int) -> Bool? { columns[column].map { $0 == "t" } }
}
