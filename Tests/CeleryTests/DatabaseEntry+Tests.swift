@testable import Celery

extension DatabaseEntry {
    init(name: String, lastRun: Double? = nil, runs: Int = 0, changed: Double? = nil, timing: Timing) {
        self.init(
            name: name,
            task: "shop.\(name)",
            isEnabled: true,
            queue: nil,
            lastRun: lastRun,
            runs: runs,
            changed: changed,
            start: nil,
            expires: nil,
            isOneOff: false,
            timing: timing,
            unknownZone: nil
        )
    }
}
