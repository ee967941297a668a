/// Guesses what was meant by a name that nobody knows.
enum Spelling {
    /// The known name that is most alike, if any is.
    static func nearest(to name: String, amongst known: Set<String>) -> String? {
        let nearest = known.sorted().min { distance($0, name) < distance($1, name) }
        guard let nearest, distance(nearest, name) <= max(2, name.count / 3) else { return nil }
        return nearest
    }

    /// The same as the end of a message; empty where none is alike.
    static func suggestion(for name: String, amongst known: Set<String>) -> String {
        nearest(to: name, amongst: known).map { "; did you mean \($0)?" } ?? ""
    }

    /// Characters to insert, remove or replace to make one text the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for character in left {
            var next = [row[0] + 1]
            for (index, other) in right.enumerated() {
                next.append(min(row[index] + (character == other ? 0 : 1), row[index + 1] + 1, next[index] + 1))
            }
            row = next
        }
        return row[right.count]
    }
}
