import Exposition
import Testing

@Suite struct ExpositionFormatTests {
    /// One character may be as long as whoever chose it likes.
    @Test func valuesAreCutByBytesWhereAScalarEnds() {
        #expect(Label("a", String(repeating: "n", count: 800)).value.utf8.count == 800)
        let marked = Label("a", "e" + String(repeating: "\u{301}", count: 250_000)).value
        #expect(marked.utf8.count == 799)
        #expect(marked.unicodeScalars.allSatisfy { ["e", "\u{301}"].contains($0) })
        for width in ["n", "é", "€", "😀"] {
            let value = Label("a", String(repeating: width, count: 900)).value
            #expect((797...800).contains(value.utf8.count) && !value.contains("\u{fffd}"))
        }
    }

    @Test func wholeText() {
        let families = [
            MetricFamily("queue_length", help: "Messages waiting.", type: .gauge).with([
                Sample(3, labels: [Label("queue_name", "mail"), Label("priority", "0")]),
                Sample(0.5, labels: [Label("queue_name", "a\"b\\c\nd"), Label("priority", "9")]),
            ]),
            MetricFamily("nothing", help: "Left out.", type: .gauge),
            MetricFamily(
                "time",
                help: "Back\\slash and\nline break, \"quotes\" stay.",
                type: .counter,
                value: 1795221940.25
            ),
        ]
        let expected = #"""
            # HELP queue_length Messages waiting.
            # TYPE queue_length gauge
            queue_length{queue_name="mail",priority="0"} 3
            queue_length{queue_name="a\"b\\c\nd",priority="9"} 0.5
            # HELP time Back\\slash and\nline break, "quotes" stay.
            # TYPE time counter
            time 1795221940.25

            """#
        #expect(String(decoding: ExpositionFormat.text.encode(families), as: UTF8.self) == expected)
    }

    @Test func histogramsAreCumulative() {
        let family = MetricFamily("seconds", help: "Run time.", type: .histogram).with(
            Sample.histogram(bounds: [0.5, 10], counts: [2, 0, 1], sum: 31.5, labels: [Label("task_name", "a")])
        )
        let expected = """
            # HELP seconds Run time.
            # TYPE seconds histogram
            seconds_bucket{task_name="a",le="0.5"} 2
            seconds_bucket{task_name="a",le="10"} 2
            seconds_bucket{task_name="a",le="+Inf"} 3
            seconds_sum{task_name="a"} 31.5
            seconds_count{task_name="a"} 3

            """
        #expect(String(decoding: ExpositionFormat.text.encode([family]), as: UTF8.self) == expected)
    }

    @Test(
        arguments: [
            (0, "0"), (-0.0, "0"), (-3, "-3"), (9_007_199_254_740_991, "9007199254740991"), (1e16, "1e+16"),
            (0.1, "0.1"),
            (1795229701.2142587, "1795229701.2142587"), (.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"),
        ] as [(Double, String)]
    )
    func values(value: Double, expected: String) {
        let family = MetricFamily("x", help: "", type: .gauge, value: value)
        #expect(String(decoding: ExpositionFormat.text.encode([family]), as: UTF8.self).hasSuffix("\nx \(expected)\n"))
    }

    @Test func wholeOpenMetrics() {
        let families = [
            MetricFamily("seconds", help: "Run \"time\".", type: .histogram).with(
                Sample.histogram(bounds: [0.5, 10], counts: [2, 0, 1], sum: 31, labels: [Label("task_name", "a")])
            ),
            MetricFamily("cpu_seconds_total", help: "Used.", type: .counter, value: 4),
            MetricFamily("nothing", help: "Left out.", type: .gauge),
            MetricFamily("queue_length", help: "Messages.", type: .gauge).with([
                Sample(3, labels: [Label("queue_name", "a\"b\\c\nd")])
            ]),
        ]
        let expected = #"""
            # HELP seconds Run \"time\".
            # TYPE seconds histogram
            seconds_bucket{task_name="a",le="0.5"} 2
            seconds_bucket{task_name="a",le="10.0"} 2
            seconds_bucket{task_name="a",le="+Inf"} 3
            seconds_sum{task_name="a"} 31
            seconds_count{task_name="a"} 3
            # HELP cpu_seconds Used.
            # TYPE cpu_seconds counter
            # UNIT cpu_seconds seconds
            cpu_seconds_total 4
            # HELP queue_length Messages.
            # TYPE queue_length gauge
            queue_length{queue_name="a\"b\\c\nd"} 3
            # EOF

            """#
        #expect(String(decoding: ExpositionFormat.openMetrics.encode(families), as: UTF8.self) == expected)
    }
}
