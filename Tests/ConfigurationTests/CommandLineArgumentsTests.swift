import Testing

@testable import Configuration

@Suite struct CommandLineArgumentsTests {
    @Test func flags() throws {
        func flags(_ arguments: String...) throws -> [String: String] { try CommandLineArguments(arguments).flags }
        #expect(try flags("--beat.grace=1s", "--beat.grace", "2s") == ["beat.grace": "2s"])
        #expect(try flags("--queues=a,b", "--queues", "c=d") == ["queues": "a,b,c=d"])
        #expect(try flags("--queues.discover") == ["queues.discover": "true"])
        #expect(try flags("--no-queues.discover") == ["queues.discover": "false"])
        #expect(try flags("--queues.discover=no", "--log.level=") == ["queues.discover": "no", "log.level": ""])
        #expect(try CommandLineArguments(["healthcheck", "--config.check"]).checksConfiguration)
    }

    @Test(arguments: [
        (["--beat.grace"], "Missing value for '--beat.grace <beat.grace>'"),
        (["--beat.grace", "--queues=a"], "Missing value for '--beat.grace <beat.grace>'"),
        (["--config.file", "-h"], "Missing value for '--config.file <config.file>'"),
        (["--config.check=false"], "--config.check: takes no value"),
        (["--no-queues.discover=yes"], "--no-queues.discover: takes no value"),
        (["--no-beat.grace"], "Unknown option '--no-beat.grace'; did you mean '--beat.grace'?"),
        (["-ps3cr3t"], "Unknown option '-p'"),
        (["--\(String(repeating: "x", count: 200))=s3cr3t"], "Unknown option '--\(String(repeating: "x", count: 98))'"),
        (["check", "healthcheck"], "give one command: check or healthcheck"),
        (["--"], "Unknown option '--'"),
    ])
    func refusedArguments(arguments: [String], message: String) {
        #expect(throws: ConfigurationError(message)) { try CommandLineArguments(arguments) }
    }

    @Test func settingsHaveNamesOfTheirOwn() {
        let names = Setting.all.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(Setting.all.allSatisfy { $0.help.hasSuffix(".") })
    }
}
