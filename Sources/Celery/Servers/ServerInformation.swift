internal import Redis
internal import System

/// What replies of INFO say, in lines of `name:value`.
struct ServerInformation {
    private var values: [Substring: Substring] = [:]

    init(_ replies: RedisValue...) {
        // By bytes: there are some hundred lines, in each collection.
        for line in replies.flatMap({
            ($0.text ?? "").utf8.split { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") }
        }) {
            let parts = line.split(separator: UInt8(ascii: ":"), maxSplits: 1)
            if parts.count == 2 { values[Substring(parts[0])] = Substring(parts[1]) }
        }
    }

    subscript(name: Substring) -> Int64? { values[name].flatMap { Int64($0) } }

    /// At most 100 Unicode scalars of it.
    func text(_ name: Substring) -> String? { values[name].map { String($0).firstScalars(100) } }
}
