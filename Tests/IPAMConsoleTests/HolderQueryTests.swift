import IPAddressing
import Testing

@testable import IPAMConsole

@Suite struct HolderQueryTests {
    private func allocation(_ name: String) throws -> HolderQuery {
        .allocation(try #require(AllocationName(objectName: name)))
    }

    @Test(arguments: [
        ("10.0.0.7", "10.0.0.7"), ("10.0.0.7/24", "10.0.0.7"), ("fd00::7", "fd00::7"),
        ("FD00:0:0:0:0:0:0:7", "fd00::7"), ("fd00::0007/64", "fd00::7"), ("[fd00::7]", "fd00::7"),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7"),
    ])
    func `An address may be spelled in any way`(_ text: String, _ address: String) throws {
        #expect(
            try HolderQuery(text, namespace: "shop") == .address(try IPAddress(parsing: address)))
    }

    @Test func `Names of allocations and networks say where an address is`() throws {
        #expect(
            try HolderQuery("fd00-0000-0000-0000-0000-0000-0000-0007", namespace: "n")
                == (try allocation("fd00-0000-0000-0000-0000-0000-0000-0007")))
        #expect(try HolderQuery("red.10.0.0.7", namespace: "n") == (try allocation("red.10.0.0.7")))
        #expect(try HolderQuery("red/10.0.0.7", namespace: "n") == (try allocation("red.10.0.0.7")))
        #expect(try HolderQuery("ipallocation/red.10.0.0.7", namespace: "n") == (try allocation("red.10.0.0.7")))
        #expect(try HolderQuery("10.0.0.7", namespace: "n", network: "red") == (try allocation("red.10.0.0.7")))
        #expect(try HolderQuery("10.0.0.7", namespace: "n", network: "") == (try allocation("10.0.0.7")))
    }

    @Test func `Anything else is a pod or a node`() throws {
        #expect(try HolderQuery("web-0", namespace: "shop") == .name(.web0))
        #expect(try HolderQuery("shop/web-0", namespace: "other") == .pod(.web0))
        #expect(try HolderQuery("pod/web-0", namespace: "shop") == .pod(.web0))
        #expect(try HolderQuery("node/n1", namespace: "shop") == .node("n1"))
    }

    @Test(arguments: ["", "a/b/c", "/a", "a/", "ipa/x"])
    func `What is none of these is refused`(_ text: String) {
        #expect(throws: ConsoleError.self) { try HolderQuery(text, namespace: "shop") }
    }

    @Test func `A network must be one`() {
        #expect(throws: ConsoleError.self) { try HolderQuery("10.0.0.7", namespace: "n", network: "Red") }
    }

    @Test func `Pools and allocations can be waited for`() throws {
        #expect(try WaitTarget("blue").isPool)
        #expect(try WaitTarget("ippool/fd00-0000-0000-0000-0000-0000-0000-0007").isPool)
        #expect(try WaitTarget("fd00::7").name == "fd00-0000-0000-0000-0000-0000-0000-0007")
        #expect(try WaitTarget("red/10.0.0.7").name == "red.10.0.0.7")
        #expect(throws: ConsoleError.self) { try WaitTarget("node/a") }
    }
}
