import IPAMAPI
import IPAddressing
import Testing

@Suite struct OccupancyTests {
    @Test func `bits are counted from the lowest of each byte`() throws {
        let occupancy = try #require(Occupancy(first: try ip("10.0.0.248"), bitmap: [0b0000_0101, 0b1000_0000]))
        #expect(occupancy.count == 16)
        #expect(occupancy.freeCount == 13)
        #expect((0..<16).filter { occupancy.isTaken($0) } == [0, 2, 15])
        #expect(occupancy.isTaken(try ip("10.0.0.248")))
        #expect(!occupancy.isTaken(try ip("10.0.0.249")))
        #expect(occupancy.isTaken(try ip("10.0.1.7")))
        #expect(occupancy.address(at: 8) == (try ip("10.0.1.0")))
        #expect(occupancy.index(of: try ip("10.0.1.0")) == 8)
    }

    @Test func `what lies outside of the window is not free`() throws {
        let occupancy = try #require(Occupancy(first: try ip("fd00::10"), bitmap: [0]))
        for address in ["fd00::f", "fd00::18", "::", "ffff::", "0.0.0.16"] {
            #expect(occupancy.isTaken(try ip(address)))
            #expect(occupancy.index(of: try ip(address)) == nil)
        }
        #expect(occupancy.isTaken(-1))
        #expect(occupancy.isTaken(8))
        #expect(occupancy.address(at: 8) == nil)
        #expect(occupancy.address(at: -1) == nil)
    }

    @Test func `a window is bounded and ends within the family`() throws {
        let first = try ip("10.0.0.0")
        #expect(Occupancy(first: first, bitmap: []) == nil)
        #expect(Occupancy(first: first, bitmap: [UInt8](repeating: 0, count: 2048)) != nil)
        #expect(Occupancy(first: first, bitmap: [UInt8](repeating: 0, count: 2049)) == nil)
        #expect(Occupancy(first: try ip("255.255.255.248"), bitmap: [0]) != nil)
        #expect(Occupancy(first: try ip("255.255.255.249"), bitmap: [0]) == nil)
    }

    @Test func `bits are set and cleared one by one`() throws {
        var occupancy = try #require(Occupancy(first: try ip("10.0.0.0"), bitmap: [0, 0]))
        occupancy.set(9, taken: true)
        occupancy.set(3, taken: true)
        #expect(occupancy.bitmap == [0b1000, 0b10])
        occupancy.set(3, taken: false)
        #expect(occupancy.bitmap == [0, 0b10])
    }
}
