/// How often collections run, and how long each may take.
package struct CollectionSchedule: Equatable, Sendable {
    package var interval: Duration
    package var timeout: Duration

    package init(interval: Duration, timeout: Duration) {
        self.interval = interval
        self.timeout = timeout
    }
}
