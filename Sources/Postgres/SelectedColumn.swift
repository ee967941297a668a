/// The columns that a question asks for, in their order: an enumeration of whole numbers from 0.
///
/// Question and answer are put together from the same cases, so that neither counts columns.
package protocol SelectedColumn: CaseIterable, RawRepresentable<Int> {}

extension SelectedColumn {
    /// The list that follows SELECT.
    package static func list(_ expression: (Self) -> String) -> String {
        allCases.map(expression).joined(separator: ", ")
    }

    /// For GROUP BY and ORDER BY.
    package static func places(of columns: [Self]) -> String {
        columns.map { String($0.rawValue + 1) }.joined(separator: ", ")
    }
}

extension PostgresRow {
    package func text(_ column: some SelectedColumn) -> String? { text(column.rawValue) }
    package func integer(_ column: some SelectedColumn) -> Int64? { integer(column.rawValue) }
    package func count(_ column: some SelectedColumn) -> Int? { count(column.rawValue) }
    package func number(_ column: some SelectedColumn) -> Double? { number(column.rawValue) }
    package func time(_ column: some SelectedColumn) -> Double? { time(column.rawValue) }
    package func boolean(_ column: some SelectedColumn) -> Bool? { boolean(column.rawValue) }
}
