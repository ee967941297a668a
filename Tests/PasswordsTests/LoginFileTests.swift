import Foundation
import Synchronization
import TLS
import Testing

@testable import Passwords
@testable import System

@Suite struct LoginFileTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "logins-\(UUID())").path
    private let problems = Problems()

    private final class Problems: Sendable {
        let told = Mutex<[String]>([])
    }

    private var path: String { "\(folder)/known-logins" }

    private var file: LoginFile {
        LoginFile(in: folder) { [problems] problem in problems.told.withLock { $0.append(problem) } }
    }

    private static func digest(_ byte: UInt8) -> [UInt8] {
        [UInt8](repeating: byte, count: KeyedDigest.bytes)
    }

    private let contents = LoginFile.Contents(
        key: Self.digest(1),
        logins: [
            Self.digest(2): KnownLogin(digest: Self.digest(3), credentials: Self.digest(4)),
            Self.digest(5): KnownLogin(digest: Self.digest(6), credentials: Self.digest(7)),
        ]
    )

    /// Runs in a folder that exists meanwhile.
    private func within(_ body: () throws -> Void) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body()
    }

    private func told() -> [String] { problems.told.withLock { $0 } }

    @Test func whatIsWrittenIsRead() throws {
        try within {
            #expect(file.read() == nil)
            for contents in [contents, LoginFile.Contents(key: Self.digest(9))] {
                file.write(contents)
                #expect(file.read() == contents)
            }
            let logins = (0..<UInt8(KnownLogin.maximum)).map {
                (Self.digest($0), KnownLogin(digest: Self.digest($0), credentials: Self.digest($0)))
            }
            let most = LoginFile.Contents(key: Self.digest(0), logins: Dictionary(uniqueKeysWithValues: logins))
            file.write(most)
            #expect(file.read() == most)
            #expect(told() == [])
        }
    }

    @Test func whatIsCutOrGoesOnIsNotUsed() throws {
        try within {
            file.write(contents)
            let bytes = try Data(contentsOf: URL(filePath: path))
            for cut in [
                bytes.dropLast(), bytes + [0], bytes.prefix(40), Data(), Data(count: bytes.count), Data(count: 100_000),
            ] {
                try cut.write(to: URL(filePath: path))
                #expect(file.read() == nil)
            }
            #expect(
                Set(told()) == [
                    "\(path) is not used: it does not hold what this program writes; the next login replaces it"
                ]
            )
            #expect(told().count == 6)
        }
    }

    @Test func whatMayBeAnothersIsNotRead() throws {
        try within {
            file.write(contents)
            chmod(path, 0o640)
            #expect(file.read() == nil)
            unlink(path)
            mkfifo(path, 0o600)
            #expect(file.read() == nil)
            let problem =
                "\(path) is not read: it must be a file that belongs to this program's user, with mode 600; delete it"
            #expect(told() == [problem, problem])
            unlink(path)
            symlink("/etc/hostname", path)
            #expect(file.read() == nil)
            #expect(told().last == "cannot read \(path): Too many levels of symbolic links")
            // It replaces the link, and not what that points at.
            file.write(contents)
            #expect(file.read() == contents)
        }
    }

    @Test func aLoginIsKnownToTheNextVerifier() async throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let hash = try #require(PasswordHash("$2y$04$BHaAXfUKE8yk5CJhFhjsAu8IpniThjvLOQSS2BPJLknendIKo9.D2"))
        let credentials = BasicCredentials(user: "user", password: Array("fakepassword".utf8))
        let first = LoginVerifier(file: file)
        #expect(await first.outcome(of: credentials, amongst: ["user": hash]) == (false, .accepted))
        let second = LoginVerifier(file: file)
        #expect(await second.outcome(of: credentials, amongst: ["user": hash]) == (true, .accepted))
        // Its hash is another password's now.
        let other = try #require(PasswordHash("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"))
        #expect(await second.outcome(of: credentials, amongst: ["user": other]) == (false, .refused))
        #expect(file.read()?.logins.count == 0)
        #expect(told() == [])
    }
}
