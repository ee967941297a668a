import Foundation
import Testing

@testable import Celery

@Suite struct CrontabTests {
    /// Thousands of crontabs, zones and moments: due when Celery itself says so.
    @Test func dueWhenCelerySays() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let project = folder.deletingLastPathComponent().deletingLastPathComponent()
        let oracle = Process()
        let output = Pipe()
        oracle.executableURL = project.appendingPathComponent(".venv/bin/python")
        oracle.arguments = [folder.appendingPathComponent("crontab_oracle.py").path]
        oracle.standardOutput = output
        try oracle.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        oracle.waitUntilExit()
        let cases = text.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        try #require(oracle.terminationStatus == 0 && cases.count > 3000)

        var different = 0
        for fields in cases {
            let crontab = Crontab(
                minute: fields[0],
                hour: fields[1],
                dayOfWeek: fields[2],
                dayOfMonth: fields[3],
                monthOfYear: fields[4]
            )
            guard let zone = Celery.TimeZone(identifier: fields[5]) else {
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
            .number(60), .number(1.5), .array([]), .array([.string("1")]), .boolean(true), .object([:]),
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
