internal import Glibc

/// Reads files of bounded size, whole.
package enum SmallFile {
    package static let maximumBytes = 1 << 20

    /// The contents of a file.
    ///
    /// - Parameters:
    ///   - maximumBytes: a longer file is refused.
    ///   - isPrivate: whether it must be a plain file, and no link to one, that nobody but this process's user may read.
    package static func contents(
        of path: String,
        maximumBytes: Int = maximumBytes,
        isPrivate: Bool = false
    ) throws(SmallFileError) -> [UInt8] {
        // A pipe that nobody writes to must not keep anybody waiting.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (isPrivate ? O_NOFOLLOW : 0))
        guard descriptor >= 0 else { throw .system(path, code: errno) }
        defer { close(descriptor) }
        if isPrivate, !Self.isPrivate(descriptor) { throw .notPrivate(path) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(maximumBytes + 1, 1 << 16))
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw .system(path, code: errno) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= maximumBytes else { throw .tooLarge(path, maximumBytes: maximumBytes) }
        }
    }

    private static func isPrivate(_ descriptor: CInt) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_uid == geteuid()
            && status.st_mode & 0o077 == 0
    }

    /// What changes with each change of a file, also where another has taken its name.
    package struct Stamp: Equatable, Sendable {
        private let device: UInt
        private let file: UInt
        private let size: Int
        private let times: [Int]

        /// Nil where there is no such file.
        package init?(of path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt(status.st_dev)
            file = UInt(status.st_ino)
            size = Int(status.st_size)
            times = [status.st_mtim, status.st_ctim].flatMap { [Int($0.tv_sec), Int($0.tv_nsec)] }
        }
    }
}

/// Why a file was not read.
package enum SmallFileError: Error, Equatable, CustomStringConvertible {
    /// `code` is errno's.
    case system(String, code: CInt)
    case tooLarge(String, maximumBytes: Int)
    case notPrivate(String)

    /// Whether there is no such file.
    package var isMissing: Bool { if case .system(_, ENOENT) = self { true } else { false } }

    package var description: String {
        switch self {
        case .system(let path, let code): "cannot read \(path): \(String(cString: strerror(code)))"
        case .tooLarge(let path, let maximumBytes): "\(path) is larger than \(maximumBytes) bytes"
        case .notPrivate(let path):
            "\(path) is not read: it must be a file that belongs to this program's user, with mode 600; delete it"
        }
    }
}
