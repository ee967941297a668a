/// One row of a result: columns as text, or nil for NULL. A column that the server has not sent is nil, too.
package struct PostgresRow: Equatable, Sendable {
    private let values: PostgresValues
    private let cells: Range<Int>

    /// Numbers beyond are none: they cannot be told exactly, and nothing that is counted has so many.
    package static let greatestNumber = 9_007_199_254_740_992.0

    fileprivate init(_ values: PostgresValues, _ cells: Range<Int>) {
        self.values = values
        self.cells = cells
    }

    package var columns: [String?] { cells.indices.map { text($0 - cells.lowerBound) } }

    /// The column as text; bytes that are not UTF-8 are replaced by U+FFFD.
    package func text(_ column: Int) -> String? {
        guard column >= 0, column < cells.count else { return nil }
        return values.text(cells.lowerBound + column)
    }

    /// Nil also beyond `greatestNumber`, so that sums of them and differences cannot overflow.
    package func integer(_ column: Int) -> Int64? {
        guard let number = text(column).flatMap({ Int64($0) }) else { return nil }
        let greatest = Int64(Self.greatestNumber)
        return (-greatest...greatest).contains(number) ? number : nil
    }

    /// Nil also for infinities and beyond `greatestNumber`, so that it can be made an integer.
    package func number(_ column: Int) -> Double? {
        guard let number = text(column).flatMap({ Double($0) }), abs(number) <= Self.greatestNumber else { return nil }
        return number
    }

    /// PostgreSQL writes booleans as `t` and `f`.
    package func boolean(_ column: Int) -> Bool? { text(column).map { $0 == "t" } }

    package static func == (one: PostgresRow, other: PostgresRow) -> Bool { one.columns == other.columns }
}

/// The rows of an answer while they come, in as little memory as they need.
struct PostgresRows {
    private var bytes: [UInt8] = []
    private var ends: [UInt32] = []
    /// Of each row the first of its cells.
    private var starts: [UInt32] = []

    /// What they take by now.
    var memory: Int {
        bytes.count + (ends.count + starts.count) * MemoryLayout<UInt32>.size + starts.count
            * MemoryLayout<PostgresRow>.size
    }

    mutating func beginRow() { starts.append(UInt32(clamping: ends.count)) }

    /// - Parameter value: nil for NULL.
    mutating func append(_ value: UnsafeRawBufferPointer?) {
        bytes.append(contentsOf: value ?? UnsafeRawBufferPointer(start: nil, count: 0))
        let end = UInt32(truncatingIfNeeded: bytes.count) & ~PostgresValues.null
        ends.append(value == nil ? end | PostgresValues.null : end)
    }

    var rows: [PostgresRow] {
        let values = PostgresValues(bytes: bytes, ends: ends)
        return starts.indices.map { row in
            let end = row + 1 < starts.count ? Int(starts[row + 1]) : ends.count
            return PostgresRow(values, Int(starts[row])..<end)
        }
    }
}

/// The values of an answer, one after the other.
private final class PostgresValues: Sendable {
    private let bytes: [UInt8]
    /// Of each value the byte behind it; with `null` in it for NULL.
    private let ends: [UInt32]

    static let null: UInt32 = 1 << 31

    init(bytes: [UInt8], ends: [UInt32]) {
        self.bytes = bytes
        self.ends = ends
    }

    func text(_ cell: Int) -> String? {
        guard ends[cell] & Self.null == 0 else { return nil }
        let start = cell == 0 ? 0 : Int(ends[cell - 1] & ~Self.null)
        return String(decoding: bytes[start..<Int(ends[cell])], as: UTF8.self)
    }
}
