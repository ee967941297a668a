import Configuration
import HTTP
import Redis
import Testing

@testable import celery_beat_exporter

@Suite struct InvocationTests {
    private func name(_ arguments: String...) -> String {
        switch Invocation(arguments: arguments, environment: [:]) {
        case .export(let configuration, _): "export \(configuration.target.broker?.redis?.redacted ?? "nothing")"
        case .check(let configuration): "check \(configuration.target.broker?.redis?.redacted ?? "nothing")"
        case .healthcheck(let address): "healthcheck \(address)"
        case .show(let text): "show \(text.prefix(24))"
        case .refuse(let line): "refuse \(line)"
        }
    }

    @Test func commandsTakeTheSameFlagsBeforeAndBehind() {
        #expect(name("--broker.url", "redis://h") == "export redis://h:6379/0")
        #expect(name("check", "--broker.url", "redis://h") == "check redis://h:6379/0")
        #expect(name("--broker.url", "redis://h", "check") == "check redis://h:6379/0")
        #expect(name("check", "--broker.url", "redis://h", "--config.check") == "show The configuration is val")
    }

    @Test func aValueIsNoCommand() {
        #expect(name("--queues", "check", "--broker.url", "redis://h") == "export redis://h:6379/0")
        let refused = "refuse Unexpected argument '…'"
        #expect(name("chek", "--broker.url", "redis://h") == "\(refused); did you mean check?")
        #expect(name("Check", "--broker.url", "redis://h") == "\(refused); did you mean check?")
        #expect(name("health-check") == "\(refused); did you mean healthcheck?")
        #expect(name("--chek") == "refuse Unknown option '--chek'; did you mean check?")
        #expect(name("check", "s3cr3t", "--broker.url", "redis://h") == "refuse Unexpected argument '…'")
    }

    @Test func aHealthCheckNeedsNothingButTheAddress() {
        #expect(name("healthcheck") == "healthcheck :9808")
        #expect(name("healthcheck", "--web.listen-address", "[::1]:1,:2") == "healthcheck [::1]:1")
        #expect(name("healthcheck", "--web.listen-address", "x").hasPrefix("refuse --web.listen-address: "))
        #expect(name("check").hasPrefix("refuse nothing to watch"))
    }

    @Test func helpOfEachCommand() {
        #expect(name("help", "check") == "show OVERVIEW: Look at everyt")
        #expect(name("check", "--help") == "show OVERVIEW: Look at everyt")
        #expect(name("--version") == "show \(Version.current)")
    }
}
