import Reading
import Testing

@testable import Collection

@Suite struct SourceLoopTests {
    @Test(
        arguments: [
            // Alone it may take all there is.
            (5000, 1, 5000),
            // Half a second is kept for each of those that follow.
            (5000, 5, 3000), (2000, 4, 500), (2000, 2, 1500),
            // What is less is shared equally; what is gone is gone.
            (1000, 5, 200), (0, 3, 0),
        ]
    )
    func oneReaderLeavesOthersTheirTime(left: Int, turns: Int, share: Int) {
        let now = ContinuousClock.now
        let deadline = SourceLoop.share(of: now..<now + .milliseconds(left), turns: turns, .seconds(5))
        #expect(now.duration(to: deadline) == .milliseconds(share))
    }
}
