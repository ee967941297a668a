internal import Glibc
internal import System
internal import TLS

/// The login of one user that was right last: a user has one hash, so no other can be. Only keyed hashes are kept.
struct KnownLogin: Equatable {
    /// Users that are remembered.
    static let maximum = 100

    /// Of the user, the hash and the password.
    var digest: [UInt8]
    /// Of the user and the password, whatever the hash was then.
    var credentials: [UInt8]
}

/// Keeps which logins were right across a restart, so that they need not wait behind those of guessers again.
///
/// The file holds keyed hashes and their key, so whoever reads it can try passwords without bcrypt's slowness. It is therefore
/// its owner's alone, and belongs where the memory of a process belongs: on a tmpfs, as a service's runtime directory is.
package struct LoginFile: Sendable {
    struct Contents: Equatable {
        /// Of the hashes.
        var key: [UInt8]
        /// By user, which is hashed too.
        var logins: [[UInt8]: KnownLogin] = [:]
    }

    private static let beginning = Array("celery-beat-exporter logins 1\n".utf8)
    /// A user, and what is known of its login.
    private static let recordBytes = 3 * KeyedDigest.bytes
    private static let maximumBytes = beginning.count + KeyedDigest.keyBytes + KnownLogin.maximum * recordBytes

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
        let bytes: [UInt8]
        do {
            bytes = try SmallFile.contents(of: path, maximumBytes: Self.maximumBytes, isPrivate: true)
        } catch .tooLarge {
            bytes = []
        } catch {
            if !error.isMissing { warn(error.description) }
            return nil
        }
        guard let contents = Self.contents(of: bytes[...]) else {
            warn("\(path) is not used: it does not hold what this program writes; the next login replaces it")
            return nil
        }
        return contents
    }

    /// Replaces what was written before, whole or not at all.
    func write(_ contents: Contents) {
        let new = "\(path).new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        defer { if descriptor >= 0 { close(descriptor) } }
        let bytes = Self.bytes(of: contents)
        let isWritten = descriptor >= 0 && Glibc.write(descriptor, bytes, bytes.count) == bytes.count
        if !isWritten || rename(new, path) != 0 { warn("cannot write \(path): \(Self.systemError)") }
    }

    private static func bytes(of contents: Contents) -> [UInt8] {
        contents.logins.reduce(into: beginning + contents.key) { bytes, login in
            bytes += login.key + login.value.digest + login.value.credentials
        }
    }

    private static func contents(of bytes: ArraySlice<UInt8>) -> Contents? {
        var rest = bytes
        func next(_ count: Int) -> [UInt8] {
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        guard next(beginning.count) == beginning, rest.count >= KeyedDigest.keyBytes else {
            return nil
        }
        var contents = Contents(key: next(KeyedDigest.keyBytes))
        guard rest.count % recordBytes == 0 else { return nil }
        while !rest.isEmpty {
            let user = next(KeyedDigest.bytes)
            contents.logins[user] = KnownLogin(
                digest: next(KeyedDigest.bytes),
                credentials: next(KeyedDigest.bytes)
            )
        }
        return contents
    }

    private static var systemError: String { String(cString: strerror(errno)) }
}
