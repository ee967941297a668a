import Testing

@testable import HTTP

@Suite struct HTTPLimitsTests {
    private func shared(_ servers: Int, _ descriptors: Int) -> [Int] {
        let limits = HTTPLimits().shared(amongst: servers, descriptors: descriptors)
        return [limits.connections, limits.connectionsPerAddress, limits.endingConnections]
    }

    @Test func serversShareConnections() {
        #expect(shared(1, .max) == [512, 256, 64])
        #expect(shared(16, .max) == [32, 16, 64])
        #expect(shared(0, .max) == [512, 256, 64])
    }

    @Test(arguments: [(1, 576), (1, 100), (1, 20), (2, 100), (16, 100), (3, 12)])
    func descriptorsBoundThem(servers: Int, descriptors: Int) {
        let limits = HTTPLimits().shared(amongst: servers, descriptors: descriptors)
        #expect((limits.connections + limits.endingConnections) * servers <= max(descriptors, 4 * servers))
        #expect(limits.connections >= 3 && limits.connectionsPerAddress >= 1)
        #expect(limits.connectionsPerAddress <= limits.connections)
    }

    @Test func thereIsRoomForSomeWhateverTheLimit() {
        #expect(shared(1, 0) == [3, 1, 1])
        #expect(shared(1, -5) == [3, 1, 1])
    }
}
