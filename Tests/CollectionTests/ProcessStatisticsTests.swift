import Testing

@testable import Collection

@Suite struct ProcessStatisticsTests {
    @Test func aProgramWhoseNameHoldsSpacesAndParentheses() throws {
        let text =
            "42 (a) (b) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 12345 1048576 256 18446744073709551615 1"
        let statistics = try #require(ProcessStatistics(text, ticksPerSecond: 100, pageBytes: 4096))
        #expect(statistics.cpuSeconds == 2)
        #expect(statistics.startSecondsAfterBoot == 123.45)
        #expect(statistics.virtualBytes == 1_048_576)
        #expect(statistics.residentBytes == 1_048_576)
    }

    @Test(arguments: ["", "42", "42 (x) S 1 2"])
    func unreadable(text: String) {
        #expect(ProcessStatistics(text, ticksPerSecond: 100, pageBytes: 4096) == nil)
    }

    @Test func bootTime() {
        #expect(ProcessStatistics.bootTime("cpu 1 2\nbtime 1795000000\nprocesses 5\n") == 1_795_000_000)
        #expect(ProcessStatistics.bootTime("cpu 1 2\n") == nil)
    }
}
