import Testing

@testable import Postgres

@Suite struct ScramChallengeTests {
    /// Whether a server's first message is refused, in whatever pieces it comes.
    private func isRefused(_ rounds: String) -> Bool {
        let message = Array(
            "R\u{0}\u{0}\u{0}\u{40}\u{0}\u{0}\u{0}\u{b}r=nonce,s=QSXCR+Q6sek8bf92,i=\(rounds)R\u{0}".utf8
        )
        var whole = ScramChallenge()
        let isRefused = whole.read(message)
        var pieces = ScramChallenge()
        let isRefusedInPieces = message.map { pieces.read([$0]) }.contains(true)
        #expect(isRefused == isRefusedInPieces)
        return isRefused
    }

    @Test(arguments: ["4096", "100000", "1", "0", "", "-1", "x", "600"])
    func whatServersAskForIsDone(_ rounds: String) {
        #expect(!isRefused(rounds))
    }

    @Test(arguments: [
        "100001", "2147483647", "4294971392", "9223372036854775807", "18446744073709551616", " 2147483647",
        "+2147483647",
        "\t\n +0000000000000000000000002147483647", String(repeating: "9", count: 1000),
    ])
    func whatWouldTakeSecondsIsNot(_ rounds: String) {
        #expect(isRefused(rounds))
    }

    @Test func theAttributeMayComeLate() {
        var challenge = ScramChallenge()
        let isRefused = [",i=4096,,i,i=,,i=10000", "00"].map { challenge.read($0.utf8) }
        #expect(isRefused == [false, true])
    }
}
