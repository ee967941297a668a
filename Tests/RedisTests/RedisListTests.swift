import Foundation
import Testing

@testable import Redis

/// Lists of brokers.
@Suite struct RedisListTests {
    /// Hundreds of lists: the same members as kombu has.
    @Test func membersAreThoseOfKombu() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let project = folder.deletingLastPathComponent().deletingLastPathComponent()
        let oracle = Process()
        let output = Pipe()
        oracle.executableURL = project.appendingPathComponent(".venv/bin/python")
        oracle.arguments = [folder.appendingPathComponent("kombu_lists_oracle.py").path]
        oracle.standardOutput = output
        oracle.standardError = FileHandle.nullDevice
        try oracle.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        oracle.waitUntilExit()
        let lists = text.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
        try #require(oracle.terminationStatus == 0 && lists.count > 200)
        for list in lists {
            let address = try RedisAddress(url: list[0])
            #expect(address.each.map(Self.member) == Array(list.dropFirst()), "\(list[0])")
        }
    }

    private static func member(_ address: RedisAddress) -> String {
        guard case .single(.tcp(let host, let port)) = address.servers else { return "\(address.servers)" }
        let (user, password) = (address.user ?? "", address.password ?? "")
        return "\(host)|\(port)|\(user)|\(password)|\(address.database)|\(address.tls == nil ? "" : "tls")"
    }

    /// What kombu would stumble over, and what people mean by it.
    @Test(arguments: [
        (" redis://a/1 ; redis://b/1\n", ["redis://a:6379/1", "redis://b:6379/1"]),
        ("redis://a/1;\nredis://b/2;", ["redis://a:6379/1", "redis://b:6379/2"]),
        ("redis://a/1;b:7000", ["redis://a:6379/1", "redis://b:7000/1"]),
        ("unix:///run/a.sock?db=1;redis://b", ["unix:///run/a.sock?db=1", "redis://b:6379/0"]),
        ("redis://a/1;redis+socket:///run/b.sock", ["redis://a:6379/1", "unix:///run/b.sock?db=0"]),
        ("redis://[::1]:7000/1;redis://[::2]", ["redis://[::1]:7000/1", "redis://[::2]:7000/1"]),
        ("redis://a?db=3;redis://b?db=4", ["redis://a:6379/3", "redis://b:6379/4"]),
    ])
    func lenient(url: String, members: [String]) throws {
        #expect(try RedisAddress(url: url).each.map(\.redacted) == members)
    }

    @Test(.timeLimit(.minutes(1))) func aListOfAnyLengthIsRefusedSoon() {
        let list = "redis://a" + String(repeating: ";b", count: 200_000)
        #expect(throws: RedisAddressError.self) { try RedisAddress(url: list) }
    }

    @Test func aSemicolonMayStandInAPassword() throws {
        let address = try RedisAddress(url: "redis://:a;b@h/1;redis://me:c;d;e@i;j")
        #expect(address.each.map(\.password) == ["a;b", "c;d;e", "a;b"])
        #expect(address.redacted == "redis://h:6379/1;redis://i:6379/1;redis://j:6379/1")
    }
}
