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
}
