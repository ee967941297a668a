/// The keys kombu's Redis transport writes. Source: kombu/transport/redis.py; `broker_transport_options` can change the
/// prefix, the separator and the steps.
package struct KombuKeys: Equatable, Sendable {
    /// `global_keyprefix`.
    package var prefix = ""
    /// `sep`, between queue and priority, and between the parts of a binding.
    package var separator = "\u{06}\u{16}"
    /// `priority_steps`; the first is the queue itself.
    package var prioritySteps = [0, 3, 6, 9]

    package init() {}

    var unacked: String { prefix + "unacked" }
    var unackedIndex: String { prefix + "unacked_index" }
    /// Sets of bindings. The dot leaves out `_kombu.binding_permanent.…` and `_kombu.binding_deadlines`.
    var bindingPrefix: String { prefix + "_kombu.binding." }

    /// The list of one step of a queue: step 0 has the queue's own name.
    func list(queue: String, priority: Int) -> String {
        prefix + (priority == 0 ? queue : queue + separator + String(priority))
    }

    /// The queue of a binding, `routing_key SEP pattern SEP queue`.
    func queue(ofBinding member: String) -> String? {
        let parts = member.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count >= 3, let queue = parts.last, Self.isQueueName(queue) else { return nil }
        return String(queue)
    }

    /// Whether a text may be the name of a queue, and become a label. AMQP's names, on which kombu's are modelled, have up to
    /// 255 bytes (AMQP 0-9-1, 4.2.5.3, "Strings").
    static func isQueueName(_ text: some StringProtocol) -> Bool {
        (1...255).contains(text.utf8.count)
    }

    /// Whether an exchange carries tasks, and not replies, remote control or events.
    static func carriesTasks(exchange: some StringProtocol) -> Bool {
        !exchange.hasSuffix(".pidbox") && exchange != "celeryev"
    }

    /// Whether one worker alone takes messages from a queue, which stays behind in the bindings when the worker is killed:
    /// the queue of a broadcast, which a fresh UUID ends (kombu/common.py, `Broadcast`), or with `worker_direct` the
    /// worker's own (celery/utils/nodenames.py, `worker_direct`).
    static func isOneWorkersOwn(queue: String, exchange: some StringProtocol) -> Bool {
        if exchange == "C.dq" || exchange == "C.dq2" { return true }
        // `bcast.` or a name of the application's own, and 8-4-4-4-12 hexadecimal digits.
        let groups = queue.suffix(37).split(separator: "-", omittingEmptySubsequences: false)
        return groups.count == 5 && groups[0].first == "."
            && zip(groups, [9, 4, 4, 4, 12]).allSatisfy { group, length in
                group.utf8.count == length && group.allSatisfy { $0.isHexDigit || $0 == "." }
            }
    }
}
