import Foundation
import JSON
import Testing
import TimeZones

@testable import Celery

@Suite struct CrontabTests {
    /// What `crontab_oracle.py` prints.
    private func oracle(_ arguments: String...) throws -> [Substring] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let project = folder.deletingLastPathComponent().deletingLastPathComponent()
        let oracle = Process()
        let output = Pipe()
        oracle.executableURL = project.appendingPathComponent(".venv/bin/python")
        oracle.arguments = [folder.appendingPathComponent("crontab_oracle.py").path] + arguments
        oracle.standardOutput = output
        try oracle.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        oracle.waitUntilExit()
        try #require(oracle.terminationStatus == 0)
        return text.split(separator: "\n")
    }

    /// Thousands of texts, numbers and lists, sound and broken: a field has the numbers that it has for Celery, and is
    /// refused where Celery refuses it.
    @Test func fieldsAsCeleryHasThem() throws {
        let environment = ProcessInfo.processInfo.environment
        let lines = try oracle(
            "fields",
            environment["CRONTAB_SEED"] ?? "20261127",
            environment["CRONTAB_CASES"] ?? "4000"
        )
        try #require(lines.count > 4000)
        var different = 0
        for line in lines {
            guard case .array(let parts) = JSONParser.parse(Array(line.utf8)), parts.count == 3,
                let name = parts[0].string
            else {
                Issue.record("no case: \(line)")
                return
            }
            let expected = parts[2] == .null ? nil : Crontab { $0 == name ? parts[2] : nil }
            if Crontab(field: { $0 == name ? parts[1] : nil }) != expected {
                different += 1
                if different <= 10 { Issue.record("computed otherwise: \(line)") }
            }
        }
        #expect(different == 0)
    }

    /// Thousands of crontabs, zones and moments: due when Celery itself says so.
    @Test func dueWhenCelerySays() throws {
        let cases = try oracle("due").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        try #require(cases.count > 3000)
        var different = 0
        for fields in cases {
            let crontab = Crontab(
                minute: fields[0],
                hour: fields[1],
                dayOfWeek: fields[2],
                dayOfMonth: fields[3],
                monthOfYear: fields[4]
            )
            guard let zone = TimeZones.TimeZone(identifier: fields[5]) else {
                Issue.record("no zone \(fields[5])")
                return
            }
            let answer =
                crontab.map { crontab in
                    crontab.due(after: Double(fields[6]) ?? .nan, in: zone).map { String(Int($0)) } ?? "never"
                } ?? "invalid"
            // One line for each would bury the first.
            if answer != fields[7] {
                different += 1
                if different <= 10 { Issue.record("\(fields): computed \(answer)") }
            }
        }
        #expect(different == 0)
    }

    @Test func fieldsAsNumbersAndLists() {
        let lists = Crontab { name in
            switch name {
            case "minute": .number(5)
            case "hour": .array([.number(1), .number(2), .number(3)])
            default: nil
            }
        }
        #expect(lists == Crontab(minute: "5", hour: "1-3"))
        for broken: JSONValue in [
            .number(60), .number(1.5), .array([]), .array([.string("1")]), .null, .object([:]),
        ] {
            #expect(Crontab { $0 == "minute" ? broken : nil } == nil)
        }
    }

    @Test func aDateThatNeverComes() {
        #expect(Crontab(dayOfMonth: "30", monthOfYear: "2") == nil)
        #expect(Crontab(dayOfMonth: "31", monthOfYear: "2,4,6") == nil)
        #expect(Crontab(dayOfMonth: "29", monthOfYear: "2") != nil)
    }
}
