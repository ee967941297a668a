/// One row of a result: columns as text, or nil for NULL.
///
/// A server may send whatever it likes: a column that is not there is NULL, and no number is beyond what can be reckoned with.
package struct PostgresRow: Equatable, Sendable {
    /// In one piece, as there may be many rows: how many columns there are, behind which byte each ends, their bytes.
    private let storage: [UInt8]

    /// Numbers beyond 2^53 are none: a `Double` cannot hold each, and nothing that is counted has so many. Sums of some of
    /// them cannot overflow.
    package static let greatestNumber = 9_007_199_254_740_992.0
    /// Seconds since 1970 of the latest time, in the year 5138, and of the earliest, negated.
    package static let latestTime = 1e11
    /// Bytes of a text that are taken; questions ask for no more than that.
    package static let longestText = 1000

    private static let wordBytes = MemoryLayout<UInt32>.size
    /// Set in the end of a NULL.
    private static let null: UInt32 = 1 << 31

    /// - Parameter values: the columns; nil for NULL.
    init<Bytes: Collection>(_ values: some Collection<Bytes?>) where Bytes.Element == UInt8 {
        let bytes = values.reduce(0) { $0 + ($1?.count ?? 0) }
        let beginning = (values.count + 1) * Self.wordBytes
        var storage: [UInt8] = []
        storage.reserveCapacity(beginning + bytes)
        func append(_ word: UInt32) { withUnsafeBytes(of: word) { storage.append(contentsOf: $0) } }
        append(UInt32(clamping: values.count))
        var end = UInt32(clamping: beginning)
        for value in values {
            end += UInt32(clamping: value?.count ?? 0)
            append(value == nil ? end | Self.null : end)
        }
        for value in values { if let value { storage.append(contentsOf: value) } }
        self.storage = storage
    }

    package init(columns: [String?]) {
        self.init(columns.map { $0.map { Array($0.utf8) } })
    }

    /// Bytes that it takes, with what an array has around its elements.
    var memory: Int { storage.capacity + 48 }

    private func word(_ index: Int) -> UInt32 {
        storage.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * Self.wordBytes, as: UInt32.self) }
    }

    private var columnCount: Int { Int(word(0)) }

    package var columns: [String?] { (0..<columnCount).map { text($0) } }

    /// The column as text; bytes that are not UTF-8 are replaced by U+FFFD.
    package func text(_ column: Int) -> String? {
        guard column >= 0, column < columnCount else { return nil }
        let end = word(column + 1)
        guard end & Self.null == 0 else { return nil }
        let start = column == 0 ? (columnCount + 1) * Self.wordBytes : Int(word(column) & ~Self.null)
        return storage.withUnsafeBytes { bytes in
            let value = bytes[start..<Int(end)].prefix(Self.longestText)
            return String(decoding: UnsafeRawBufferPointer(rebasing: value), as: UTF8.self)
        }
    }

    /// Nil also beyond `greatestNumber`.
    package func integer(_ column: Int) -> Int64? {
        guard let number = text(column).flatMap({ Int64($0) }) else { return nil }
        let greatest = Int64(Self.greatestNumber)
        return (-greatest...greatest).contains(number) ? number : nil
    }

    /// How many: never negative.
    package func count(_ column: Int) -> Int? { integer(column).map { Int(max(0, $0)) } }

    /// Nil also for infinities and beyond `greatestNumber`, so that it can be made an integer.
    package func number(_ column: Int) -> Double? {
        guard let number = text(column).flatMap({ Double($0) }), abs(number) <= Self.greatestNumber else { return nil }
        return number
    }

    /// A time in Unix seconds; nil for those that are infinite, or beyond every calendar.
    package func time(_ column: Int) -> Double? { number(column).flatMap { abs($0) < Self.latestTime ? $0 : nil } }

    /// PostgreSQL writes booleans as `t` and `f`.
    package func boolean(_ column: Int) -> Bool? { text(column).map { $0 == "t" } }
}
