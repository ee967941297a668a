extension Int {
    /// What is counted is taken for no more: a `Double` holds it, and no sum of what servers tell can end the program.
    static let largestCount = 1 << 53

    /// Adds to a count, which never falls.
    mutating func count(_ more: Int) {
        self = Swift.min(self &+ Swift.min(Swift.max(more, 0), Self.largestCount), Self.largestCount)
    }

    /// The sum of two counts.
    static func sum(_ one: Int, _ other: Int) -> Int {
        var sum = one
        sum.count(other)
        return sum
    }
}
