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

    /// What changes with each change of a file, also where another has taken its name.
    struct Stamp: Equatable {
        private let device: UInt
        private let file: UInt
        private let size: Int
        private let times: [Int]

        /// nil where there is no such file.
        init?(of path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt(status.st_dev)
            file = UInt(status.st_ino)
            size = Int(status.st_size)
            times = [status.st_mtim, status.st_ctim].flatMap { [Int($0.tv_sec), Int($0.tv_nsec)] }
        }
    }

    private static func failure(_ path: String, _ origin: String) -> ConfigurationError {
        ConfigurationError("\(origin): cannot read \(path): \(String(cString: strerror(errno)))")
    }
}
