internal import Glibc

/// What the exporter was told of tasks.
package struct TaskConfiguration: Equatable, Sendable {
    package var windows = [TaskWindow(name: "5m", seconds: 300), TaskWindow(name: "1h", seconds: 3600)]
    /// Upper bounds of the duration histogram, in seconds.
    package var durationBounds: [Double] = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]
    /// Task names beyond this number are folded into `other`.
    package var maximumNames = 500
    /// Exception classes beyond this number are, too.
    package var maximumExceptions = 100
    /// Which tasks to tell of, as a shell would match their names; empty for all.
    package var include: [String] = []
    /// Which of these not to.
    package var exclude: [String] = []
    /// Where to look for tasks; what stands first is preferred.
    package var tables = TaskTableDefinition.known

    package init() {}

    /// Whether tasks of that name are to be told of.
    func tells(of task: String) -> Bool {
        func matches(_ pattern: String) -> Bool { fnmatch(pattern, task, 0) == 0 }
        return (include.isEmpty || include.contains(where: matches)) && !exclude.contains(where: matches)
    }
}
