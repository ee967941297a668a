internal import Glibc

/// Keeps which logins were right across a restart, so that they need not wait behind those of guessers again.
///
/// The file holds keyed hashes and their key, so whoever reads it can try passwords without bcrypt's slowness. It is therefore
/// its owner's alone, and belongs where the memory of a process belongs: on a tmpfs, as a service's runtime directory is.
package struct LoginFile: Sendable {
    struct Contents: Equatable {
        static let keyBytes = 32
        static let digestBytes = 32

        /// Of the hashes.
        var key: [UInt8]
        /// Users, hashes and passwords.
        var accepted: Set<[UInt8]> = []
        /// Users and passwords.
        var right: Set<[UInt8]> = []
    }

    private static let beginning = Array("celery-beat-exporter logins 1\n".utf8)
    /// Of the beginning, the key, and two sets of at most 255, each behind its count.
    private static let maximumBytes = beginning.count + Contents.keyBytes + 2 * (1 + 255 * Contents.digestBytes)

    private let path: String
    private let warn: @Sendable (_ problem: String) -> Void

    /// - Parameters:
    ///   - directory: one that only this program's user may write to.
    ///   - warn: is told in a line why nothing is kept, or what was kept is not used.
    package init(in directory: String, warn: @escaping @Sendable (_ problem: String) -> Void) {
        path = "\(directory)/known-logins"
        self.warn = warn
    }

    /// What was written last; nil without it, and where it cannot be ours.
    func read() -> Contents? {
        // Neither another's file by a link, nor a pipe that nobody writes to.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno != ENOENT { warn("cannot read \(path): \(Self.systemError)") }
            return nil
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_mode & 0o077 == 0
        else {
            warn("\(path) is not read: it must be a file that belongs to this program's user, with mode 600; delete it")
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: Self.maximumBytes + 1)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0, let contents = Self.contents(of: bytes.prefix(count)) else {
            warn("\(path) is not used: it does not hold what this program writes; the next login replaces it")
            return nil
        }
        return contents
    }

    func write(_ contents: Contents) {
        let new = "\(path).new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        defer { if descriptor >= 0 { close(descriptor) } }
        let bytes = Self.bytes(of: contents)
        guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count, rename(new, path) == 0 else {
            warn("cannot write \(path): \(Self.systemError)")
            return
        }
    }

    private static func bytes(of contents: Contents) -> [UInt8] {
        var bytes = beginning + contents.key
        for digests in [contents.accepted, contents.right] {
            bytes.append(UInt8(clamping: digests.count))
            for digest in digests.prefix(255) { bytes += digest }
        }
        return bytes
    }

    private static func contents(of bytes: ArraySlice<UInt8>) -> Contents? {
        var rest = bytes
        func next(_ count: Int) -> [UInt8]? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        func digests() -> Set<[UInt8]>? {
            guard let count = next(1)?.first.map(Int.init), let all = next(count * Contents.digestBytes) else {
                return nil
            }
            return Set((0..<count).map { Array(all[$0 * Contents.digestBytes..<($0 + 1) * Contents.digestBytes]) })
        }
        guard next(beginning.count) == beginning, let key = next(Contents.keyBytes), let accepted = digests(),
            let right = digests(), rest.isEmpty
        else { return nil }
        return Contents(key: key, accepted: accepted, right: right)
    }

    private static var systemError: String { String(cString: strerror(errno)) }
}
