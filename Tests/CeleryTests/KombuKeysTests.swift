import Testing

@testable import Celery

@Suite struct KombuKeysTests {
    @Test func keysByDefault() {
        let keys = KombuKeys()
        #expect(keys.list(queue: "jobs", priority: 0) == "jobs")
        #expect(keys.list(queue: "jobs", priority: 3) == "jobs\u{6}\u{16}3")
        #expect(keys.queue(ofBinding: "celery\u{6}\u{16}\u{6}\u{16}celery") == "celery")
    }

    @Test func keysWithPrefixAndSeparator() {
        var keys = KombuKeys()
        keys.prefix = "tenant1:"
        keys.separator = ":"
        #expect(keys.list(queue: "jobs", priority: 6) == "tenant1:jobs:6")
        #expect(keys.unacked == "tenant1:unacked")
        #expect(keys.bindingPrefix == "tenant1:_kombu.binding.")
        #expect(keys.queue(ofBinding: "jobs::jobs") == "jobs")
    }

    @Test(arguments: [
        "", "celery", "a\u{6}\u{16}b", "a\u{6}\u{16}\u{6}\u{16}",
        "a\u{6}\u{16}\u{6}\u{16}" + String(repeating: "b", count: 256),
    ])
    func otherMembersAreNoBindings(member: String) {
        #expect(KombuKeys().queue(ofBinding: member) == nil)
    }

    @Test func exchangesThatCarryNoTasks() {
        for exchange in ["celery.pidbox", "reply.celery.pidbox", "celeryev"] {
            #expect(!KombuKeys.carriesTasks(exchange: exchange))
        }
        #expect(KombuKeys.carriesTasks(exchange: "celery") && KombuKeys.carriesTasks(exchange: "reply.mail"))
    }

    @Test func globsAreEscaped() {
        #expect(globEscaped("a*b?[c]\\d^") == "a\\*b\\?\\[c\\]\\\\d\\^")
    }

    @Test func queuesOfOneWorkerAlone() {
        let uuid = "0d5b1f0a-9c3e-4c39-a2c1-7f2f4d1e8a55"
        for own in ["bcast.\(uuid)", "news.of.\(uuid)"] {
            #expect(KombuKeys.isOneWorkersOwn(queue: own, exchange: "news"))
        }
        #expect(KombuKeys.isOneWorkersOwn(queue: "w1@host.dq2", exchange: "C.dq2"))
        for shared in [
            "celery", "reports", "w1@host.dq2", uuid, "bcast.\(uuid)x", "bcast." + uuid.dropLast(), "a-b-c-d-e",
        ] {
            #expect(!KombuKeys.isOneWorkersOwn(queue: shared, exchange: "news"))
        }
    }

    @Test func queuesStopUsingPriorities() {
        func depths(_ lengths: Int...) -> [PriorityDepth] {
            zip([0, 3, 6, 9], lengths).map { PriorityDepth(priority: $0, length: $1) }
        }
        var use = PriorityUse()
        let start = ContinuousClock.now
        func observe(_ depths: [PriorityDepth], after seconds: Int) -> Bool {
            use.observe(depths, of: "jobs", at: start + .seconds(seconds))
        }
        var seen: [Bool] = []
        seen.append(observe(depths(5, 0, 0, 0), after: 0))
        seen.append(observe(depths(0, 0, 1, 0), after: 0))
        // Drained, or with messages of the first step alone, it may use them again.
        seen.append(observe(depths(0, 0, 0, 0), after: 300))
        seen.append(observe(depths(9, 0, 0, 0), after: 600))
        seen.append(observe(depths(9, 0, 0, 0), after: 601))
        seen.append(observe(depths(9, 0, 0, 2), after: 602))
        use.forget(allBut: ["other"])
        seen.append(observe(depths(9, 0, 0, 0), after: 603))
        #expect(seen == [false, true, true, true, false, true, false])
    }
}
