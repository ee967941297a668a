import Exposition
import Testing

@testable import Serving

@Suite struct ContentNegotiationTests {
    @Test(
        arguments: [
            (nil, .text), ("", .text), ("*/*", .text), ("text/html", .text), ("nonsense;;=,;q", .text),
            ("text/plain", .text), ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text;version=1.0.0", .openMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", .openMetrics),
            ("application/openmetrics-text;version=0.0.1", .text),
            ("application/openmetrics-text;version=2.0.0", .text),
            ("application/openmetrics-text;q=0", .text), ("application/openmetrics-text;q=none", .text),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.5", .text),
            ("application/openmetrics-text;q=0.5,text/plain;version=1.0.0;q=0.9,*/*;q=0.1", .openMetrics),
            // Prometheus 2.42 and 3, and their order when only text is wanted.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                    + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .openMetrics
            ),
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1", .text),
        ] as [(String?, ExpositionFormat)]
    )
    func negotiation(accept: String?, format: ExpositionFormat) {
        #expect(ExpositionFormat(accept: accept) == format)
    }

    @Test(arguments: [
        (nil, false), ("", false), ("gzip", true), ("deflate, GZIP", true), ("gzip;q=0", false),
        ("gzip;q=0.000", false),
        ("identity;q=1, gzip;q=0.1", true), ("br, *", false), ("gzip;q=x", false),
        (String(repeating: "br,", count: 1000) + "gzip", false),
    ])
    func compression(acceptEncoding: String?, isCompressed: Bool) {
        #expect(Representation(accept: nil, acceptEncoding: acceptEncoding).isCompressed == isCompressed)
    }
}
