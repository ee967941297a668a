import Testing

@testable import Passwords
@testable import System

/// What docs/security.md promises of logins while others guess.
@Suite struct LoginQueueTests {
    private var queue = LoginQueue()
    private let hash: PasswordHash
    private var number = 0

    init() throws {
        hash = try #require(PasswordHash("$2y$04$BHaAXfUKE8yk5CJhFhjsAu8IpniThjvLOQSS2BPJLknendIKo9.D2"))
    }

    private let scraper = ClientAddress(ipv4: 1)
    private let others = (100..<140).map { ClientAddress(ipv4: $0) }

    private func login(_ digest: [UInt8], from client: ClientAddress, credentials: [UInt8]? = nil) -> LoginQueue.Login {
        LoginQueue.Login(
            hash: hash,
            password: [],
            userExists: true,
            client: client,
            user: [1],
            digest: digest,
            credentials: credentials ?? digest,
            finish: { _ in }
        )
    }

    private mutating func next() throws -> LoginQueue.Login {
        let next = queue.next()
        return try #require(next)
    }

    /// Another password that is wrong; whether there was room for it.
    @discardableResult
    private mutating func guess(from client: ClientAddress) -> Bool {
        number += 1
        let before = queue.count
        return queue.append(login(Array("guess \(number)".utf8), from: client)).isEmpty || queue.count > before
    }

    /// Verifies one after the other until the scraper's comes; each guesser has another guess as soon as it has been told.
    /// - Returns: how many were verified before it.
    private mutating func verifiedBefore(_ digest: [UInt8]) -> Int? {
        for count in 0..<10_000 {
            guard let next = queue.next() else { return nil }
            guard next.digest != digest else { return count }
            _ = queue.note(next, isRight: false)
            guess(from: next.client)
        }
        return nil
    }

    private mutating func verify(_ count: Int) {
        for _ in 0..<count {
            guard let next = queue.next() else { return }
            _ = queue.note(next, isRight: false)
            guess(from: next.client)
        }
    }

    @Test(arguments: [0, 1, 39, 40, 200]) mutating func anAddressWithoutAWrongPasswordIsBehindOneOther(verified: Int) {
        for other in others { guess(from: other) }
        verify(verified)
        _ = queue.append(login([1], from: scraper))
        #expect(verifiedBefore([1]).map { $0 <= 1 } == true)
    }

    @Test(arguments: [0, 10, 20, 39]) mutating func noneIsBehindMoreThanTwiceThoseWhoCameEarlier(earlier: Int) {
        for other in others[..<earlier] { guess(from: other) }
        _ = queue.append(login([1], from: scraper))
        for other in others[earlier...] { guess(from: other) }
        #expect(verifiedBefore([1]).map { $0 <= 2 * earlier + 1 } == true)
    }

    @Test mutating func guessersAtItsOwnAddressAreOnlyBeforeItOnce() {
        for _ in 0..<8 { guess(from: scraper) }
        verify(100)
        _ = queue.append(login([1], from: scraper))
        #expect(verifiedBefore([1]) == 8)
    }

    @Test mutating func guessersEverywhereKeepNobodyOut() {
        for other in others { guess(from: other) }
        for _ in 0..<8 { guess(from: scraper) }
        verify(200)
        _ = queue.append(login([1], from: scraper))
        #expect(verifiedBefore([1]).map { $0 <= 2 * 48 + 1 } == true)
    }

    @Test mutating func oneAddressGuessingALotDoesNotCount() {
        for _ in 0..<LoginQueue.maximumOfAddress { guess(from: others[0]) }
        #expect(!guess(from: others[0]))
        for _ in 0..<50 { guess(from: scraper) }
        verify(200)
        #expect(queue.append(login([1], from: others[1])).isEmpty)
        #expect(verifiedBefore([1]).map { $0 <= 1 } == true)
    }

    @Test mutating func whereThereIsNoRoomTheLargestCrowdMakesSome() {
        for other in others { for _ in 0..<20 { guess(from: other) } }
        #expect(queue.count == LoginQueue.maximum)
        #expect(queue.append(login([1], from: scraper)).count == 1)
        #expect(queue.count == LoginQueue.maximum)
        #expect(verifiedBefore([1]).map { $0 <= 1 } == true)
    }

    @Test mutating func thePasswordThatWasRightForAnotherHashIsNext() throws {
        _ = queue.append(login([1], from: scraper, credentials: [0]))
        let first = try next()
        _ = queue.note(first, isRight: true)
        for other in others { guess(from: other) }
        for _ in 0..<8 { guess(from: scraper) }
        _ = queue.append(login([2], from: scraper, credentials: [0]))
        #expect(verifiedBefore([2]) == 0)
    }

    @Test mutating func onceItIsWrongItHasNoPrivilege() throws {
        for (digest, isRight) in [([1], true), ([2], false)] as [([UInt8], Bool)] {
            _ = queue.append(login(digest, from: others[0], credentials: [0]))
            _ = queue.note(try next(), isRight: isRight)
        }
        for _ in 0..<8 { guess(from: others[1]) }
        for _ in 0..<8 { guess(from: others[0]) }
        _ = queue.append(login([3], from: others[0], credentials: [0]))
        #expect(verifiedBefore([3]).map { $0 > 0 } == true)
    }

    @Test mutating func theAddressOfARightPasswordComesBeforeOthers() throws {
        _ = queue.append(login([1], from: scraper))
        _ = queue.note(try next(), isRight: true)
        for other in others { guess(from: other) }
        for _ in 0..<8 { guess(from: scraper) }
        verify(200)
        _ = queue.append(login([2], from: scraper))
        #expect(verifiedBefore([2]).map { $0 <= 2 * 8 + 1 } == true)
    }

    @Test mutating func theSameLoginWaitsOnce() throws {
        for _ in 0..<3 { _ = queue.append(login([1], from: scraper)) }
        _ = queue.append(login([1], from: others[0]))
        #expect(queue.count == 2)
        let first = try next()
        #expect(queue.note(first, isRight: true).count == 4, "all of them are told")
        #expect(queue.count == 0)
    }
}
