internal import Glibc

/// Reads files that people write: settings, secrets.
enum SmallFile {
    static let maximumBytes = 1 << 20

    /// The contents of a file.
    ///
    /// - Parameter origin: the setting that named it, for the message when it cannot be read.
    static func contents(of path: String, for origin: String) throws(ConfigurationError) -> [UInt8] {
        // A pipe that nobody writes to must not keep the program from starting.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(path, origin) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw failure(path, origin) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= maximumBytes else {
                throw ConfigurationError("\(origin): \(path) is larger than \(maximumBytes) bytes")
            }
        }
    }

    private static func failure(_ path: String, _ origin: String) -> ConfigurationError {
        ConfigurationError("\(origin): cannot read \(path): \(String(cString: strerror(errno)))")
    }
}
