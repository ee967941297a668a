internal import Synchronization

/// Queue names that readers of schedules pass to the queues' reader, on another thread and perhaps another server.
package final class SharedQueueNames: Sendable {
    private let shared = Mutex<[String: Set<String>]>([:])

    package init() {}

    /// The names of all schedulers together.
    var names: Set<String> {
        shared.withLock { $0.values.reduce(into: []) { $0.formUnion($1) } }
    }

    /// Replaces the names that one scheduler has told.
    package func set(_ names: Set<String>, of scheduler: String) {
        shared.withLock { $0[scheduler] = names }
    }
}
