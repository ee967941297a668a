import Testing

@testable import Celery

@Suite struct TaskWindowTests {
    /// Whatever comes, and wherever the clock goes, a window has the sums that adding up its buckets anew has.
    @Test(arguments: 0..<20) func sumsAreThoseOfTheBuckets(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let windows = [TaskWindow(name: "1m", seconds: 60), TaskWindow(name: "1h", seconds: 3600)]
        var sums = windows.map { TaskRing.WindowSums($0, bucketSeconds: 10) }
        var ended: [Int64: [Int: TaskRing.Ended]] = [:]
        var now: Int64 = 1_795_222_000
        for _ in 0..<200 {
            now += Int64.random(in: -30...90, using: &random)
            for index in sums.indices { sums[index].move(to: now, over: ended) }
            for _ in 0..<Int.random(in: 0...5, using: &random) {
                let bucket = (now - Int64.random(in: -20...4000, using: &random)) / 10
                let task = Int.random(in: 0...1, using: &random)
                let growth = ended[bucket, default: [:]][task, default: TaskRing.Ended()]
                    .add(Int.random(in: 1...9, using: &random), isSuccess: .random(using: &random))
                for index in sums.indices { sums[index].add(growth, of: task, in: bucket) }
            }
            for (window, sums) in zip(windows, sums) {
                for task in 0...1 {
                    let counts = ended.filter { $0.key > (now - window.seconds) / 10 }.compactMap { $0.value[task] }
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
