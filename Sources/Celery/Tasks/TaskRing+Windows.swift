// The success ratios of the ring of ended tasks.

extension TaskRing {
    /// Ended tasks of one name in a bucket: what windows need of them.
    struct Ended {
        private(set) var successes: UInt32 = 0
        private(set) var all: UInt32 = 0

        /// - Returns: what it has grown by, which is less where it is full.
        mutating func add(_ count: Int, isSuccess: Bool) -> Ended {
            let before = self
            let count = UInt32(clamping: count)
            all = UInt32(clamping: UInt64(all) + UInt64(count))
            if isSuccess { successes = UInt32(clamping: UInt64(successes) + UInt64(count)) }
            var growth = Ended()
            (growth.successes, growth.all) = (successes - before.successes, all - before.all)
            return growth
        }
    }

    /// The sums of all buckets of a window. What comes is added, and what leaves the window is taken away, so that a long
    /// window costs no more than a short one.
    struct WindowSums {
        private let window: TaskWindow
        /// The last bucket that is over.
        private var last = Int64.min
        /// By the tasks' numbers.
        private var sums: [(successes: Int, all: Int)] = []

        init(_ window: TaskWindow) {
            self.window = window
        }

        mutating func add(_ growth: Ended, of task: Int, in bucket: Int64) {
            guard bucket > last else { return }
            if task >= sums.count { sums += Array(repeating: (0, 0), count: task + 1 - sums.count) }
            sums[task].successes += Int(growth.successes)
            sums[task].all += Int(growth.all)
        }

        /// - Parameter ended: of all buckets that windows may hold.
        mutating func move(to now: Int64, over ended: [Int64: [Int: Ended]]) {
            let before = last
            last = (now - window.seconds) / TaskRing.bucketSeconds
            guard last != before else { return }
            guard last > before else {
                // The clock was set back a little: buckets come back.
                sums = []
                for (bucket, tasks) in ended { for (task, count) in tasks { add(count, of: task, in: bucket) } }
                return
            }
            for (bucket, tasks) in ended where bucket > before && bucket <= last {
                for (task, count) in tasks {
                    sums[task].successes -= Int(count.successes)
                    sums[task].all -= Int(count.all)
                }
            }
        }

        /// Nil of a task of which none has ended within the window.
        func ratio(of task: Int) -> SuccessRatio? {
            guard task < sums.count, sums[task].all > 0 else { return nil }
            return SuccessRatio(window: window, successes: sums[task].successes, ended: sums[task].all)
        }
    }
}
