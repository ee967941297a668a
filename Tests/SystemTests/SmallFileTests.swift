import Foundation
import System
import Testing

@Suite final class SmallFileTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "small-file-\(UUID().uuidString)"
    )

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func file(_ name: String, _ bytes: [UInt8], mode: Int = 0o600) throws -> String {
        let path = folder.appendingPathComponent(name).path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }

    @Test(arguments: [0, 1, 65_535, 65_536, 65_537, 1 << 20])
    func wholeContents(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try SmallFile.contents(of: file("f", bytes)) == bytes)
    }

    @Test func noMoreThanTheMaximum() throws {
        let path = try file("f", [1, 2, 3])
        #expect(try SmallFile.contents(of: path, maximumBytes: 3) == [1, 2, 3])
        #expect(throws: SmallFileError.tooLarge(path, maximumBytes: 2)) {
            try SmallFile.contents(of: path, maximumBytes: 2)
        }
        // Without an end.
        #expect(throws: SmallFileError.self) { try SmallFile.contents(of: "/dev/zero") }
    }

    @Test func aPrivateFileIsNobodyElses() throws {
        let own = try file("own", [1])
        #expect(try SmallFile.contents(of: own, isPrivate: true) == [1])
        let open = try file("open", [1], mode: 0o640)
        #expect(throws: SmallFileError.notPrivate(open)) { try SmallFile.contents(of: open, isPrivate: true) }
        let link = folder.appendingPathComponent("link").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: own)
        #expect(try SmallFile.contents(of: link) == [1])
        #expect(throws: SmallFileError.self) { try SmallFile.contents(of: link, isPrivate: true) }
        #expect(throws: SmallFileError.notPrivate("/dev/null")) {
            try SmallFile.contents(of: "/dev/null", isPrivate: true)
        }
    }

    @Test func whatIsMissingIsToldApart() {
        func failure(_ path: String) -> SmallFileError? {
            #expect(throws: SmallFileError.self) { try SmallFile.contents(of: path) }
        }
        let missing = failure("/nowhere")
        #expect(missing?.isMissing == true)
        #expect(missing?.description == "cannot read /nowhere: No such file or directory")
        let folder = failure("/")
        #expect(folder?.isMissing == false)
        #expect(folder?.description == "cannot read /: Is a directory")
    }
}
