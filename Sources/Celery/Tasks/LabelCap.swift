/// Bounds the names of tasks and exceptions over all tables: what comes after the bound counts as `other`.
final class LabelCap {
    private var tasks: Set<String> = []
    private var exceptions: Set<String> = []
    private let configuration: TaskConfiguration
    /// Names that were folded.
    private(set) var folded = 0

    /// The name that stands for all beyond the bound.
    static let other = "other"

    init(_ configuration: TaskConfiguration) {
        self.configuration = configuration
    }

    func task(_ name: String) -> String {
        admit(name, to: &tasks, maximum: configuration.maximumNames)
    }

    func exception(_ name: String) -> String {
        admit(name, to: &exceptions, maximum: configuration.maximumExceptions)
    }

    private func admit(_ name: String, to names: inout Set<String>, maximum: Int) -> String {
        // The one that is kept, so that a name takes its memory once.
        if let index = names.firstIndex(of: name) { return names[index] }
        guard names.count < maximum else {
            folded += 1
            return Self.other
        }
        names.insert(name)
        return name
    }
}
