internal import Synchronization

/// Queue names that the schedule's reader passes to the queues' reader, on another thread and perhaps another Redis.
package final class SharedQueueNames: Sendable {
    private let shared = Mutex<Set<String>>([])

    package init() {}

    package var names: Set<String> {
        get { shared.withLock { $0 } }
        set { shared.withLock { $0 = newValue } }
    }
}
