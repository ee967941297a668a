import Testing

@testable import Celery
@testable import Status

@Suite struct TimeTextTests {
    @Test(
        arguments: [
            (-5, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (599, "9 min 59 s"),
            (601, "10 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"),
            (273_600, "3 d 4 h"), (1e11, "1157407 d 9 h"), (1e300, "for ever"), (.infinity, "for ever"),
            (.nan, "for ever"),
        ] as [(Double, String)]
    )
    func durations(seconds: Double, text: String) {
        #expect(TimeText.duration(seconds) == text)
    }

    @Test func distances() {
        #expect(TimeText.distance(from: 100, at: 112) == "12 s ago")
        #expect(TimeText.distance(from: 100.4, at: 100) == "now")
        #expect(TimeText.distance(from: 100, at: 100.9) == "now")
        #expect(TimeText.distance(from: 190, at: 100) == "in 1 min 30 s")
    }

    @Test func utc() {
        let now = 1_795_269_807.5
        #expect(TimeText.utc(now) == "2026-11-21 14:03:27")
        #expect(TimeText.utc(now - 60, at: now) == "14:02:27")
        #expect(TimeText.utc(now - 86_400, at: now) == "2026-11-20 14:03:27")
        #expect(TimeText.utc(-0.5) == "1969-12-31 23:59:59")
        #expect(TimeText.utc(-62_167_219_200) == "0000-01-01 00:00:00")
        for impossible: Double in [253_402_300_800, -62_167_219_201, .infinity, -.infinity, .nan] {
            #expect(TimeText.utc(impossible) == nil)
        }
    }
}
