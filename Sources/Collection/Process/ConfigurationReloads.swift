internal import Synchronization
internal import System

/// How the last reading of the configuration went.
package final class ConfigurationReloads: Sendable {
    private let last: Mutex<(isSuccess: Bool, lastSuccess: Double)>

    /// The configuration was read just now, and it was right.
    package init() {
        last = Mutex((true, UnixTime.now.rounded(.down)))
    }

    package func note(isSuccess: Bool) {
        last.withLock { $0 = (isSuccess, isSuccess ? UnixTime.now.rounded(.down) : $0.lastSuccess) }
    }

    /// Whether it was right, and when it last was, in Unix time.
    var value: (isSuccess: Bool, lastSuccess: Double) { last.withLock { $0 } }
}
