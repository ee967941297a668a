internal import Collection

/// One of several applications in a line.
package struct TargetSummary: Equatable, Sendable {
    package var name: String
    package var verdict: ApplicationStatus.Verdict
    package var isActive: Bool?
    /// Seconds the latest of all entries is late by; nil where no schedule is known.
    package var worstLateness: Double?
    /// Messages that wait in all queues; nil where that is not known.
    package var messages: Int?
    package var criticalCount: Int
    package var warningCount: Int
    /// Sources that cannot be read.
    package var failingSources: [String]

    package init(_ status: ApplicationStatus) {
        name = status.target ?? ""
        verdict = status.verdict
        isActive = status.isActive
        worstLateness =
            status.beats.contains { $0.entryCount != nil } ? status.beats.compactMap(\.worstLateness).max() ?? 0 : nil
        messages = status.queues?.reduce(0) { $0.saturated(adding: $1.messages) }
        let problems = status.problems
        criticalCount = problems.count { $0.severity == .critical }
        warningCount = problems.count - criticalCount
        failingSources = Set(status.collectors.filter { $0.error != nil }.compactMap(\.source)).sorted()
    }
}

extension Int {
    /// The sum, or the largest number there is: counts are foreign data.
    func saturated(adding other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}

extension ApplicationStatus.Beat {
    fileprivate var worstLateness: Double? { entries.lazy.compactMap(\.overdue).max() }
}
