package import TimeZones

/// One entry of a schedule that someone told the exporter to expect.
package struct ExpectedEntry: Equatable, Sendable {
    package enum Timing: Equatable, Sendable {
        case interval(seconds: Double)
        case crontab(Crontab, TimeZone)
    }

    package let name: String
    /// The name of the task, as the task table has it.
    package let task: String
    package let timing: Timing
    /// Seconds that may pass between the due time and the moment at which the table shows the run.
    package let tolerance: Double

    package init(name: String, task: String, timing: Timing, tolerance: Double) {
        self.name = name
        self.task = task
        self.timing = timing
        self.tolerance = tolerance
    }

    /// The first due time after a run; nil when there is none any more.
    func due(after run: Double) -> Double? {
        switch timing {
        case .interval(let seconds): run + seconds
        case .crontab(let crontab, let zone): crontab.due(after: run, in: zone)
        }
    }
}
