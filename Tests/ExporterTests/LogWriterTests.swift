import Foundation
import Testing

@testable import celery_beat_exporter

/// A pipe that holds some lines, and is read when a test says so.
@Suite struct LogWriterTests {
    private let ends: [CInt]
    private let writer: LogWriter

    init() throws {
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        self.ends = ends
        writer = LogWriter(ends[1]) { Array("dropped \($0)\n".utf8) }
    }

    /// All lines until one that satisfies.
    private func read(until isLast: (String) -> Bool) -> [String] {
        var text = ""
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(ends[0], &chunk, chunk.count)
            guard count > 0 else { return [] }
            text += String(decoding: chunk[..<count], as: UTF8.self)
            let lines = text.split(separator: "\n").map(String.init)
            if text.hasSuffix("\n"), let last = lines.last, isLast(last) { return lines }
        }
    }

    private func number(_ line: String) -> Int? { Int(line.prefix { $0 != " " }) }

    @Test func linesComeInTheirOrder() {
        for number in 0..<500 { writer.write(Array("\(number) x\n".utf8)) }
        #expect(read { $0 == "499 x" }.compactMap(number) == Array(0..<500))
    }

    @Test func whatNobodyReadsIsDroppedAndCounted() {
        // More than the pipe holds: when its first byte is there, the writer waits for somebody to read the rest.
        writer.write([UInt8](repeating: UInt8(ascii: "x"), count: 200_000) + Array("\n".utf8))
        var first = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
        #expect(poll(&first, 1, 60_000) == 1)
        for number in 0..<5000 { writer.write(Array("\(number) x\n".utf8)) }
        // It has come back, although nobody has read a byte.
        writer.flush(within: .milliseconds(1))
        let lines = read { $0.hasPrefix("dropped") }
        #expect(lines.dropFirst().compactMap(number) == Array(0..<1000))
        #expect(lines.last == "dropped 4000")

        writer.write(Array("again\n".utf8))
        #expect(read { $0 == "again" } == ["again"])
    }

    @Test func whatCannotBeWrittenCounts() {
        close(ends[0])
        // The program ignores it.
        signal(SIGPIPE, SIG_IGN)
        for _ in 0..<3 {
            writer.write(Array("lost\n".utf8))
            writer.flush(within: .seconds(60))
        }
        #expect(writer.dropped == 3)
    }
}
