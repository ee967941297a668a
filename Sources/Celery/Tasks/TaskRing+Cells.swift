// What the ring of ended tasks remembers.

extension TaskRing {
    struct Key: Hashable {
        /// The task's number.
        let task: Int
        /// Among `TaskTable.finalStates`; one more for all others.
        let status: Int8
        let durationIndex: Int16?
        let exception: String?

        var state: String {
            TaskTable.finalStates.indices.contains(Int(status))
                ? TaskTable.finalStates[Int(status)] : TaskTable.otherState
        }
        /// Nil of what windows do not tell of.
        var isSuccess: Bool? {
            switch state {
            case "SUCCESS": true
            case "FAILURE": false
            default: nil
            }
        }
    }

    struct Amounts: Equatable {
        var count = 0
        var durationSum = 0.0
        var retries = 0

        static func += (left: inout Amounts, right: Amounts) {
            left.count.count(right.count)
            left.durationSum += min(max(0, right.durationSum), largestDurationSum)
            left.retries.count(right.retries)
        }

        /// Seconds that the tasks of one row may have run.
        private static let largestDurationSum = 1e15

        func growth(since before: Amounts) -> Amounts {
            Amounts(
                count: max(0, count &- before.count),
                durationSum: max(0, durationSum - before.durationSum),
                retries: max(0, retries &- before.retries)
            )
        }
    }

    /// Of a bucket that may be read again.
    struct Cell {
        /// What the table held when it was last read.
        var read = Amounts()
        /// What the reading that goes on has shown.
        var reading = Amounts()
    }

    struct Totals {
        var results: [String: Int] = ["SUCCESS": 0, "FAILURE": 0, "REVOKED": 0]
        var durationCounts: [Int]
        var durationSum = 0.0
        var retries = 0
        var errors: [String: Int] = [:]
        var inProgress: [String: Int] = [:]

        /// Applications make states of their own, perhaps one for each percent.
        private static let maximumStates = 20

        static func hasRoom(_ states: [String: Int]) -> Bool {
            states.count - (states[TaskTable.otherState] == nil ? 0 : 1) < maximumStates
        }

        mutating func add(_ count: Int, inProgress status: String) {
            let isKept = inProgress[status] != nil || Self.hasRoom(inProgress)
            inProgress[isKept ? status : TaskTable.otherState, default: 0].count(count)
        }
    }
}
