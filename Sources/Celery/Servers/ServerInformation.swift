internal import Redis
internal import System

/// What replies of INFO say, in lines of `name:value`.
struct ServerInformation {
    private var values: [Substring: Substring] = [:]

    init(_ replies: RedisValue...) {
        for line in replies.flatMap({ ($0.text ?? "").split(whereSeparator: \.isNewline) }) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
    }

    subscript(name: Substring) -> Int64? { values[name].flatMap { Int64($0) } }

    /// At most 100 Unicode scalars of it.
    func text(_ name: Substring) -> String? { values[name].map { String($0).firstScalars(100) } }
}
