import Collection
import Testing

@testable import Celery
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

    /// Counts that no source tells, and sums of them that no number holds.
    @Test func countsBeyondReason() throws {
        let states = Samples.states { states in
            states.beats[.redbeat] = Samples.beat(isUp: true) { beat in
                beat.schedule = Samples.schedule(count: .min, invalid: .max)
            }
            states.queues = Samples.queues([("a", .max), ("b", .max)])
            let task = Samples.task("t", ratio: 10_000, inProgress: ["STARTED": .min, "RETRY": .min])
            states.tasks = Samples.tasks([task])
        }
        let status = Samples.status(states, [Samples.reading("redbeat", "redbeat")])
        #expect(status.tasks?.map(\.inProgress) == [.min])
        #expect(TargetSummary(status).messages == .max)
        #expect(page(status).contains("Schedule"))
    }

    @Test func everythingKnown() throws {
        #expect(try page(Samples.full) == Expected.text("full.html", is: page(Samples.full)))
    }

    @Test func aBeatThatIsDead() throws {
        let beat = Samples.beat(isUp: false) { beat in
            beat.lock = Samples.lock(isHeld: true, timeToLive: 724)
            beat.deadline = Samples.now + 3000
        }
        let text = page(Samples.status([.redbeat: beat], [Samples.reading("redbeat", "redbeat")]))
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
            headline(Samples.status([:], [failing])) == """
                 class="warning">
                <h1><span aria-hidden="true">?</span> Nobody can tell whether beat is alive</h1>
                <p>What tells of it became unreadable 10 min ago <small>(13:53:27)</small>.</p>

                """
        )
        #expect(
            headline(Samples.status([:], [never])) == """
                 class="warning">
                <h1><span aria-hidden="true">?</span> Nobody can tell whether beat is alive</h1>
                <p>What could tell of it cannot be read.</p>

                """
        )
        #expect(
            headline(Samples.status([:], [pending])) == """
                 class="muted">
                <h1><span aria-hidden="true">…</span> Not known yet</h1>
                <p>The sources have not answered yet.</p>

                """
        )
        #expect(
            headline(Samples.status([:], [Samples.reading("redbeat", "redbeat")], target: "shop")) == """
                 class="muted">
                <p><a href="/">All applications</a>: <bdi>shop</bdi></p>
                <h1><span aria-hidden="true">○</span> No beat was found</h1>
                <p>There is no sign of any. <code>--beat.scheduler</code> names those that must be there.</p>

                """
        )
    }

    /// No green headline stands beside a time that was missed.
    @Test func whatHasComeDueSinceTheLook() throws {
        let due = Samples.observed + 0.2
        let beat = Samples.beat(isUp: true) { beat in
            beat.deadline = due
            var entry = Samples.entry("often", "t")
            entry.nextDue = due
            beat.schedule = Samples.schedule([entry])
            beat.schedule?.nextDue = due
        }
        let text = page(Samples.status([.redbeat: beat], [Samples.reading("redbeat", "redbeat")]))
        #expect(try text == Expected.text("due.html", is: text))
        #expect(text.contains("Beat is alive"))
        #expect(!text.contains("was due"))
        #expect(text.contains("it was alive when it was last looked at, 1 s ago"))
    }

    @Test func aBeatThatIsSomewhereElse() throws {
        let beat = Samples.beat(isUp: false) { beat in
            beat.isNowhere = true
            (beat.heartbeat, beat.deadline) = (nil, nil)
        }
        var search = BeatSearch()
        search.lookedFor = ["RedBeat with the prefix redbeat: in redis://h/0"]
        search.places = [
            BeatSearch.Place("RedBeat with the prefix <b> in redis://h/3", setting: "--redbeat.url=redis://h/3")
        ]
        search.gaps = ["database 4: NOPERM"]
        for beats in [[Scheduler.redbeat: beat], [:]] {
            let status = ApplicationStatus(
                target: nil,
                snapshot: Snapshot(
                    states: Samples.states { $0.beats = beats },
                    collectors: [Samples.reading("redbeat", "redbeat")]
                ),
                expectedSchedulers: beats.isEmpty ? [] : [.redbeat],
                maximumEntries: 1000,
                search: search,
                time: Samples.now
            )
            let name = beats.isEmpty ? "none.html" : "elsewhere.html"
            #expect(try page(status) == Expected.text(name, is: page(status)))
            #expect(page(status).contains("No beat was found"))
        }
    }

    @Test func foreignTextIsInert() {
        let name = "<script>alert('1')</script>\"&\u{202e}\u{0}\n"
        let states = Samples.states { $0.queues = Samples.queues([(name, 1)]) }
        let text = page(Samples.status(states, [Samples.reading("queues", "broker")]))
        #expect(
            text.contains(
                "<bdi>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}\u{fffd}\u{fffd}</bdi>"
            )
        )
        #expect(!text.contains("<script>"))
    }

    @Test func longTablesAreFolded() {
        let states = Samples.states { $0.queues = Samples.queues((0..<250).map { ("q\($0)", 1) }) }
        let status = Samples.status(states, [Samples.reading("queues", "broker")], target: "shop")
        func rows(_ text: String) -> Int { text.split(separator: "<tr><th scope=\"row\"><bdi>q").count - 1 }
        let folded = page(status)
        #expect(rows(folded) == 200)
        #expect(folded.contains("<p>200 of 250 are shown. <a href=\"/?target=shop&amp;rows=all\">Show all</a></p>"))
        #expect(rows(page(status, showsAllRows: true)) == 250)
        #expect(!page(status, showsAllRows: true).contains("Show all"))
    }

    @Test func entriesWithoutSeriesAreCounted() {
        let beat = Samples.beat(isUp: true) { $0.schedule = Samples.schedule(count: 1234, invalid: 34) }
        let text = page(Samples.status([.redbeat: beat], [Samples.reading("redbeat", "redbeat")]))
        #expect(text.contains("<p>1,200 more are left out by <code>--beat.max-entry-series</code>.</p>"))
    }

    @Test func applicationsThatNeedSomebodyComeFirst() throws {
        let redis = Samples.reading("redbeat", "redbeat")
        let targets = [
            Samples.status([.redbeat: Samples.beat(isUp: true)], [redis], target: "a-alive"),
            Samples.status([.redbeat: Samples.beat(isUp: false)], [redis], target: "b-dead"),
            Samples.status([:], [Samples.failing("redbeat", "redbeat")], target: "c-unknown"),
        ]
        let text = page(Samples.status([:], [Samples.reading("process", nil)]), targets.map { TargetSummary($0) })
        #expect(try text == Expected.text("applications.html", is: text))
    }
}
