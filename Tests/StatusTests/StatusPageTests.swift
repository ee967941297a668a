import Collection
import Exposition
import Testing

@testable import Status

@Suite struct StatusPageTests {
    /// The page without what is the same on all: from the title to the style, and the body up to the script.
    private func page(
        _ status: ApplicationStatus,
        _ targets: [TargetSummary] = [],
        showsAllRows: Bool = false
    ) -> String {
        let html = StatusPage(
            status,
            targets: targets,
            metricsPath: "/metrics",
            version: "1.2.3",
            showsAllRows: showsAllRows
        ).html
        let text = String(decoding: html, as: UTF8.self)
        let title = text.split(separator: "\n").first { $0.hasPrefix("<title>") } ?? ""
        let body = text.split(separator: "<body>\n")[1].split(separator: "\n<script>")[0]
        return "\(title)\n\(body)"
    }

    @Test func everythingKnown() throws {
        #expect(try page(Samples.full) == Expected.text("full.html", is: page(Samples.full)))
    }

    @Test func aBeatThatIsDead() throws {
        let families = Samples.beat(
            "redbeat",
            isUp: 0,
            others: ["lock_held": 1, "lock_ttl_seconds": 724, "deadline_timestamp_seconds": Samples.now + 3000]
        )
        let text = page(Samples.status(families, [Samples.reading("redbeat", "redbeat")]))
        #expect(try text == Expected.text("dead.html", is: text))
    }

    @Test func headlines() {
        func headline(_ status: ApplicationStatus) -> String {
            let text = page(status)
            return String(text.split(separator: "<header")[1].split(separator: "</header>")[0])
        }
        let failing = Samples.failing("redbeat", "redbeat")
        let never = Samples.failing("redbeat", "redbeat", hasWorked: false)
        let pending = Samples.pending("redbeat", "redbeat")
        #expect(
            headline(Samples.status([], [failing])) == """
                 class="warning">
                <h1><span aria-hidden="true">?</span> Nobody can tell whether beat is alive</h1>
                <p>What tells of it became unreadable 10 min ago <small>(13:53:27)</small>.</p>

                """
        )
        #expect(
            headline(Samples.status([], [never])) == """
                 class="warning">
                <h1><span aria-hidden="true">?</span> Nobody can tell whether beat is alive</h1>
                <p>What could tell of it cannot be read.</p>

                """
        )
        #expect(
            headline(Samples.status([], [pending])) == """
                 class="muted">
                <h1><span aria-hidden="true">…</span> Not known yet</h1>
                <p>The sources have not answered yet.</p>

                """
        )
        #expect(
            headline(Samples.status([], [Samples.reading("redbeat", "redbeat")], target: "shop")) == """
                 class="muted">
                <p><a href="/">All applications</a>: <bdi>shop</bdi></p>
                <h1><span aria-hidden="true">○</span> No beat was found</h1>
                <p>There is no sign of any. <code>--beat.scheduler</code> names those that must be there.</p>

                """
        )
    }

    @Test func foreignTextIsInert() {
        let name = "<script>alert('1')</script>\"&\u{202e}\u{0}\n"
        let families = [Samples.gauge("celery_queue_length", 1, ("queue_name", name))]
        let text = page(Samples.status(families, [Samples.reading("queues", "broker")]))
        #expect(
            text.contains(
                "<bdi>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}\u{fffd}\u{fffd}</bdi>"
            )
        )
        #expect(!text.contains("<script>"))
    }

    @Test func longTablesAreFolded() {
        let samples = (0..<250).map { Sample(1, labels: [Label("queue_name", "q\($0)")]) }
        let families = [MetricFamily("celery_queue_length", help: "", type: .gauge, samples: samples)]
        let status = Samples.status(families, [Samples.reading("queues", "broker")], target: "shop")
        func rows(_ text: String) -> Int { text.split(separator: "<tr><th scope=\"row\"><bdi>q").count - 1 }
        let folded = page(status)
        #expect(rows(folded) == 200)
        #expect(folded.contains("<p>200 of 250 are shown. <a href=\"/?target=shop&amp;rows=all\">Show all</a></p>"))
        #expect(rows(page(status, showsAllRows: true)) == 250)
        #expect(!page(status, showsAllRows: true).contains("Show all"))
    }

    @Test func entriesWithoutSeriesAreCounted() {
        let families = Samples.beat(
            "redbeat",
            isUp: 1,
            others: ["schedule_entries": 1234, "schedule_invalid_entries": 34]
        )
        let text = page(Samples.status(families, [Samples.reading("redbeat", "redbeat")]))
        #expect(text.contains("<p>1,200 more are left out by <code>--beat.max-entry-series</code>.</p>"))
    }

    @Test func applicationsThatNeedSomebodyComeFirst() throws {
        let redis = Samples.reading("redbeat", "redbeat")
        let targets = [
            Samples.status(Samples.beat("redbeat", isUp: 1), [redis], target: "a-alive"),
            Samples.status(Samples.beat("redbeat", isUp: 0), [redis], target: "b-dead"),
            Samples.status([], [Samples.failing("redbeat", "redbeat")], target: "c-unknown"),
        ]
        let text = page(Samples.status([], [Samples.reading("process", nil)]), targets.map { TargetSummary($0) })
        #expect(try text == Expected.text("applications.html", is: text))
    }
}
