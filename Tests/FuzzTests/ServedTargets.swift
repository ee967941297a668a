import Collection
import Exposition
import JSON
import Logging
import Passwords
import System

@testable import Celery
@testable import Configuration
@testable import HTTP
@testable import Serving
@testable import celery_beat_exporter

/// What clients send, and what they and the log are told.
let servedTargets = [
    FuzzTarget(
        "accept",
        [
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1\(separator)gzip, br;q=0",
            "text/plain\(separator)*;q=1e999", "a;q=\"1\";\u{0}\(separator)gzip;q=nan",
        ]
    ) { bytes in
        let headers = texts(bytes, 2)
        _ = Representation(accept: headers[0], acceptEncoding: headers[1])
        let elements = headers.flatMap { HeaderElement.elements(of: $0) }
        guard elements.count <= 64 else { return "\(elements.count) elements" }
        return elements.first { !(0...1).contains($0.quality) }.map { "a quality of \($0.quality)" }
    },
    FuzzTarget("authorization", ["Basic YWxpY2U6c2VjcmV0", "Basic Og==", "basic  YQ==", "Bearer x"]) { bytes in
        guard !bytes.contains(0), let found = BasicCredentials(authorization: String(decoding: bytes, as: UTF8.self))
        else { return nil }
        return found.password.count <= bytes.count ? nil : "a password longer than the header"
    },
    FuzzTarget(
        "log-line",
        ["collection failed\(separator)ERR unknown \u{1b}[31m\n", "a=\"b\"\(separator)\\", "\(separator)"]
    ) { bytes in
        let texts = texts(bytes, 2)
        for format in [Configuration.LogFormat.logfmt, .json] {
            let line = LineLogHandler.line(
                time: "2026-11-21T00:44:59.123Z",
                level: .warning,
                message: texts[0],
                metadata: ["error": "\(texts[1])"],
                format: format
            )
            guard line.hasSuffix("\n"), isPlainLine(line.dropLast()) else { return "no plain line: \(line)" }
            guard format == .json else { continue }
            let read = JSONParser.parse(Array(line.utf8))
            let cut = texts.map { $0.cut() }
            guard read?["msg"] == .string(cut[0]), read?["error"] == .string(cut[1]), line.utf8.count < 15_000 else {
                return "is not read as it was written: \(line)"
            }
        }
        return nil
    },
    FuzzTarget(
        "exposition",
        [
            "Tasks sent.\(separator)mail.send\(separator)1795221905.5", "a\\b\n\"\(separator)\\\"\n\(separator)-1e300",
            "\(separator)\(separator)inf",
        ]
    ) { bytes in
        let texts = texts(bytes, 3)
        let value = Double(texts[2]) ?? 0
        let labels = [Label("task_name", texts[1]), Label("other", texts[0])]
        let families = [
            MetricFamily("celery_a_seconds", help: texts[0], type: .gauge, value: value, labels: labels),
            MetricFamily("celery_b_total", help: texts[1], type: .counter, value: value, labels: labels),
        ]
        for format in ExpositionFormat.allCases {
            guard let text = String(validating: format.encode(families), as: UTF8.self) else { return "is not UTF-8" }
            // Of Swift's characters one is a line break with a carriage return before it.
            let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
                .map { Substring($0) }
            let samples = lines.filter { !$0.hasPrefix("#") }
            guard samples.count == 2, lines.count == (format == .text ? 6 : 8) else {
                return "\(lines.count) lines: \(text)"
            }
            for (line, family) in zip(samples, families) {
                guard let read = ReadSample(line) else { return "cannot be read: \(line)" }
                guard read.name == family.name, read.labels == labels, read.value == value || value.isNaN else {
                    return "is read as \(read)"
                }
            }
        }
        return nil
    },
]

/// A line of an exposition, read as its specification says: `name{label="value",...} number`.
private struct ReadSample {
    let name: String
    var labels: [Label] = []
    let value: Double

    init?(_ line: Substring) {
        var rest = line.unicodeScalars[...]
        name = String(String.UnicodeScalarView(rest.prefix { $0 != "{" }))
        rest = rest.drop { $0 != "{" }.dropFirst()
        while rest.first != "}" {
            let label = String(String.UnicodeScalarView(rest.prefix { $0 != "=" }))
            rest = rest.drop { $0 != "=" }.dropFirst()
            guard rest.popFirst() == "\"" else { return nil }
            var value = String.UnicodeScalarView()
            while let scalar = rest.popFirst(), scalar != "\"" {
                guard scalar == "\\" else {
                    value.append(scalar)
                    continue
                }
                guard let escaped = rest.popFirst() else { return nil }
                value.append(escaped == "n" ? "\n" : escaped)
            }
            labels.append(Label(label, String(value)))
            if rest.first == "," { rest.removeFirst() }
        }
        guard let number = Double(String(String.UnicodeScalarView(rest.dropFirst(2)))) else { return nil }
        value = number
    }
}
