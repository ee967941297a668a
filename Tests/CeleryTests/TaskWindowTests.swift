import Testing

@testable import Celery

@Suite struct TaskWindowTests {
    /// Whatever comes, and wherever the clock goes, a window has the sums that adding up its buckets anew has.
    @Test func sumsAreThoseOfTheBuckets() {
        let windows = [TaskWindow(name: "1m", seconds: 60), TaskWindow(name: "1h", seconds: 3600)]
        var sums = windows.map(TaskRing.WindowSums.init)
        var ended: [Int64: [Int: TaskRing.Ended]] = [:]
        var now: Int64 = 1_795_222_000
        for step in 0..<2000 {
            now += [10, 0, 90, -30, 7][step % 5]
            for index in sums.indices { sums[index].move(to: now, over: ended) }
            // From 20 s in the future to 4,000 s ago.
            let bucket = (now + 20 - Int64(step * 7919 % 4021)) / 10
            let task = step % 3
            let growth = ended[bucket, default: [:]][task, default: TaskRing.Ended()]
                .add(step % 9 + 1, isSuccess: step % 4 > 0)
            for index in sums.indices { sums[index].add(growth, of: task, in: bucket) }
            for (window, sums) in zip(windows, sums) {
                let within = ended.filter { $0.key > (now - window.seconds) / 10 }.values
                for task in 0..<3 {
                    let counts = within.compactMap { $0[task] }
                    let all = counts.reduce(0) { $0 + Int($1.all) }
                    let successes = counts.reduce(0) { $0 + Int($1.successes) }
                    let expected = all > 0 ? SuccessRatio(window: window, successes: successes, ended: all) : nil
                    #expect(sums.ratio(of: task) == expected)
                }
            }
        }
    }

    @Test func whatIsFullGrowsNoMore() {
        var ended = TaskRing.Ended()
        #expect(ended.add(.max, isSuccess: true).all == .max)
        #expect(ended.add(1, isSuccess: true).all == 0)
        #expect(ended.all == .max)
    }
}
