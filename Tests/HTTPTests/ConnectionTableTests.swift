import System
import Testing

@testable import HTTP

@Suite struct ConnectionTableTests {
    private var table: ConnectionTable
    private let limits: HTTPLimits

    init() {
        var limits = HTTPLimits()
        limits.connections = 4
        limits.connectionsPerAddress = 3
        limits.requestSeconds = 10
        limits.responseSeconds = 30
        limits.idleSeconds = 90
        self.limits = limits
        table = ConnectionTable(limits: limits)
    }

    private func connection(_ number: Int, from address: UInt32 = 1) -> HTTPConnection {
        HTTPConnection(descriptor: CInt(number), client: ClientAddress(ipv4: address))
    }

    /// The descriptors of those that are over their time, now and a millisecond earlier.
    private func overdue(at now: UInt64) -> [[CInt]] {
        [now - 1, now].map { table.cutOverdue(at: $0).map(\.descriptor) }
    }

    @Test mutating func eachStepHasItsTime() {
        let one = connection(1)
        #expect(table.begin(one, at: 1000) == nil)
        #expect(table.cutOverdue(at: 10_999).isEmpty)
        table.beginAnswer(to: one, at: 10_000)
        #expect(table.cutOverdue(at: 39_999).isEmpty)
        table.endAnswer(to: one, at: 20_000)
        #expect(table.cutOverdue(at: 109_999).isEmpty)
        table.receiveRequestLine(of: one, at: 50_000)
        #expect(overdue(at: 60_000) == [[], [1]])
        #expect(table.cutOverdue(at: 60_000).isEmpty, "it is cut off once")
    }

    @Test mutating func theNextDeadlineIsThatOfWhoeverIsDueFirst() {
        #expect(table.nextDeadline == nil)
        let (one, other) = (connection(1), connection(2))
        _ = table.begin(one, at: 1000)
        _ = table.begin(other, at: 2000)
        #expect(table.nextDeadline == 11_000)
        table.endAnswer(to: one, at: 3000)
        #expect(table.nextDeadline == 12_000)
        #expect(table.cutOverdue(at: 12_000).map(\.descriptor) == [2])
        #expect(table.nextDeadline == 93_000, "who was cut off has no other deadline")
    }

    @Test mutating func aFirstLineDoesNotProlongTheWait() {
        let one = connection(1)
        _ = table.begin(one, at: 0)
        table.receiveRequestLine(of: one, at: 9000)
        #expect(overdue(at: 10_000) == [[], [1]])
    }

    @Test mutating func anAnswerMustBeFetchedInTime() {
        let one = connection(1)
        _ = table.begin(one, at: 0)
        table.beginAnswer(to: one, at: 1000)
        #expect(overdue(at: 31_000) == [[], [1]])
    }

    @Test mutating func theOneThatGotNowhereLongestGoesFirst() {
        let all = (1...4).map { connection($0, from: UInt32($0)) }
        for (time, one) in all.enumerated() { #expect(table.begin(one, at: UInt64(time)) == nil) }
        table.beginAnswer(to: all[0], at: 10)
        #expect(table.begin(connection(5, from: 5), at: 11) === all[1])
        table.endAnswer(to: all[2], at: 12)
        #expect(table.begin(connection(6, from: 6), at: 13) === all[3], "those that were cut off do not count")
    }

    @Test mutating func anAddressMakesRoomForItself() {
        let other = connection(1, from: 2)
        #expect(table.begin(other, at: 0) == nil)
        let all = (2...4).map { connection($0) }
        for one in all { #expect(table.begin(one, at: UInt64(one.descriptor)) == nil) }
        #expect(table.begin(connection(5), at: 9) === all[0])
    }

    @Test mutating func whatHasEndedIsForgotten() {
        let all = (1...4).map { connection($0, from: UInt32($0)) }
        for one in all { _ = table.begin(one, at: 0) }
        table.end(all[1])
        #expect(table.begin(connection(5, from: 5), at: 1) == nil)
        table.end(all[0])
        table.end(all[3])
        #expect(table.count == 2)
        #expect(Set(table.cutOverdue(at: 100_000).map(\.descriptor)) == [3, 5])
    }
}

@Suite struct ClientAddressTests {
    private func ipv6(_ words: UInt16...) -> ClientAddress {
        ClientAddress(ipv6: words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] })
    }

    @Test func anIPv6NetworkIsOneClient() {
        #expect(ipv6(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6) == ipv6(0x2001, 0xdb8, 1, 2, 9, 9, 9, 9))
        #expect(ipv6(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6) != ipv6(0x2001, 0xdb8, 1, 3, 3, 4, 5, 6))
    }

    @Test func anIPv4AddressIsTheSameOnEitherSocket() {
        #expect(ipv6(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1) == ClientAddress(ipv4: 0x7f00_0001))
        #expect(ipv6(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1) != ipv6(0, 0, 0, 0, 0, 0xffff, 0x7f00, 2))
        #expect(ipv6(0, 0, 0, 0, 0, 0, 0, 1) != ClientAddress(ipv4: 1))
    }
}
