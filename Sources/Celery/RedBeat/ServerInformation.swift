internal import Redis

/// Numbers in replies of INFO: lines of `name:value`.
struct ServerInformation {
    private var numbers: [Substring: Int64] = [:]

    init(_ replies: RedisValue...) {
        for line in replies.flatMap({ ($0.text ?? "").split(whereSeparator: \.isNewline) }) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, let number = Int64(parts[1]) { numbers[parts[0]] = number }
        }
    }

    subscript(name: Substring) -> Int64? { numbers[name] }
}
