import Foundation
import Testing

/// Every reader of foreign data under inputs that nobody would write.
///
/// FUZZ_SECONDS is the time for all of them together, FUZZ_TARGET the one to try alone. Inputs follow from FUZZ_SEED: the
/// one that was wrong is named by the seed that makes it the first, so that FUZZ_CASES=1 tries it alone.
@Suite(.serialized) struct FuzzTests {
    private static let targets =
        valueTargets + timeTargets + configurationTargets + servedTargets + serverTargets
        + lyingRedisTargets + postgresTargets

    private static let chosen = targets.filter { $0.name == setting("FUZZ_TARGET") ?? $0.name }
    private static let seconds = Double(setting("FUZZ_SECONDS") ?? "") ?? 12
    private static let seed = UInt64(setting("FUZZ_SEED") ?? "") ?? 1
    private static let maximumCases = UInt64(setting("FUZZ_CASES") ?? "") ?? .max

    /// Seconds of processor time that one input may take.
    private static let longestInput = 3.0
    /// Wrong inputs of one reader that are told.
    private static let maximumProblems = 3

    @Test(arguments: chosen) func isNeverSurprised(_ target: FuzzTarget) {
        // What is said of hostile inputs is true of good ones too.
        for sample in target.corpus { _ = isFine(sample, of: target, named: "FUZZ_TARGET=\(target.name), a sample") }
        let clock = ContinuousClock()
        let start = clock.now
        let end = start + .seconds(Self.seconds / Double(Self.chosen.count))
        var count: UInt64 = 0
        var problems = 0
        repeat {
            let seed = Self.seed &+ count
            var mutations = Mutations(of: target.corpus, seed: seed)
            let name = "FUZZ_TARGET=\(target.name) FUZZ_SEED=\(seed) FUZZ_CASES=1"
            if !isFine(mutations.next(), of: target, named: name) { problems += 1 }
            count += 1
        } while clock.now < end && count < Self.maximumCases && problems < Self.maximumProblems
        let rate = Double(count) / (start.duration(to: clock.now) / .seconds(1))
        print("fuzz: \(target.name): \(count) inputs, \(Int(rate)) a second")
    }

    private func isFine(_ input: [UInt8], of target: FuzzTarget, named name: String) -> Bool {
        let began = processorSeconds()
        let problem = CrashReport.during(name) { target.problem(input) }
        let took = processorSeconds() - began
        guard let problem = problem ?? (took > Self.longestInput ? "took \(took) s" : nil) else { return true }
        Issue.record("\(name), \(quoted(input)): \(problem)")
        return false
    }

    private static func setting(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    private func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// The beginning of an input, as Swift would write it.
    private func quoted(_ input: [UInt8]) -> String {
        let shown = String(decoding: input.prefix(500), as: UTF8.self).debugDescription
        return input.count > 500 ? "\(shown)… (\(input.count) bytes)" : shown
    }
}
