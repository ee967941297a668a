import Testing

@testable import Celery

@Suite struct LastRunClockTests {
    private static let now = 1_795_221_900.0

    @Test(arguments: [
        (0.0, 0.0), (-4.0, 0.0), (120.0, 0.0), (28_800.0, 28_800.0), (-28_805.0, -28_800.0), (20_700.0, 20_700.0),
    ])
    func newestRun(ahead: Double, offset: Double) {
        var clock = LastRunClock()
        clock.observe(newest: Self.now + ahead, between: Self.now - 10, and: Self.now)
        #expect(clock.isKnown)
        #expect(clock.offset == offset)
    }

    /// A day, no whole quarter of an hour, and too long a time between readings.
    @Test func whatTellsNothing() {
        var clock = LastRunClock()
        clock.observe(newest: Self.now + 86_400, between: Self.now - 10, and: Self.now)
        clock.observe(newest: Self.now - 8 * 3600 - 100, between: Self.now - 10, and: Self.now)
        clock.observe(newest: Self.now - 8 * 3600, between: Self.now - 400, and: Self.now)
        #expect(clock == LastRunClock())
        clock.observe(newest: Self.now - 8 * 3600, between: Self.now - 10, and: Self.now)
        clock.observe(newest: Self.now, between: Self.now - 10, and: Self.now)
        #expect(clock.offset == 0)
    }
}
