import Collection
import Testing

@testable import Celery
@testable import Status

@Suite struct JSONTests {
    private func text(_ status: ApplicationStatus, _ targets: [TargetSummary] = []) -> String {
        String(decoding: status.json(targets: targets, version: "1.2.3"), as: UTF8.self)
    }

    @Test func everythingKnown() throws {
        #expect(try text(Samples.full) == Expected.text("full.json", is: text(Samples.full)))
    }

    @Test func nothingKnown() {
        #expect(
            text(Samples.status([:], [])) == """
                {"version":"1.2.3","target":null,"time":1795269807.5,\
                "beat":{"active":null,"lock_ttl":null,"schedulers":[],"search":null},"queues":null,"unacked":null,"tasks":null,\
                "pipelines":null,"workers":null,"collectors":[],"problems":[],"targets":{}}

                """
        )
    }

    @Test func severalApplications() {
        let dead = Samples.status(
            [.redbeat: Samples.beat(isUp: false)],
            [Samples.reading("redbeat", "redbeat"), Samples.failing("queues", "broker")],
            target: "shop"
        )
        let json = text(Samples.status([:], []), [TargetSummary(dead)])
        #expect(
            json.hasSuffix(
                """
                "targets":{"shop":{"active":false,"overdue":null,"messages":null,"critical":2,"warnings":0,\
                "failing_sources":["broker"]}}}

                """
            )
        )
    }
}
