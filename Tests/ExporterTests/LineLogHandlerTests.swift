import Configuration
import Foundation
import Logging
import Testing

@testable import celery_beat_exporter

@Suite struct LineLogHandlerTests {
    private func line(_ message: String, _ value: String, _ format: Configuration.LogFormat) -> String {
        LineLogHandler.line(
            time: "2026-11-21T02:00:00.000Z",
            level: .warning,
            message: message,
            metadata: ["b": "\(value)", "a": "1"],
            format: format
        )
    }

    @Test func logfmt() {
        #expect(
            line("collection failed", "x y", .logfmt)
                == #"time=2026-11-21T02:00:00.000Z level=warn msg="collection failed" a=1 b="x y"\#n"#
        )
    }

    @Test func foreignDataStaysOnItsLineAndSendsNothingToTheTerminal() throws {
        let hostile = "a\nb\r\t\"=\\ \u{1b}[31m \u{9b}2J \u{0} é"
        for format in [Configuration.LogFormat.logfmt, .json] {
            let line = line("m", hostile, format)
            #expect(line.hasSuffix("\n"))
            let body = line.dropLast().unicodeScalars
            #expect(body.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) })
        }
        let json = try JSONDecoder().decode([String: String].self, from: Data(line("m", hostile, .json).utf8))
        #expect(json["b"] == hostile)
        #expect(json["level"] == "warn")
    }

    @Test func foreignDataIsCut() {
        for format in [Configuration.LogFormat.logfmt, .json] {
            let long = String(repeating: "\u{1b}", count: 2_000_000)
            #expect(line(long, long, format).utf8.count < 20_000)
        }
    }
}
