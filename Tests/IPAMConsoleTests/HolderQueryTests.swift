import IPAMAPI
import IPAddressing
import JSONText
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

    @Test(arguments: [
        ("10.19.120.300", "\"10.19.120.300\" is not an IP address: octet \"300\" is above 255"),
        ("10.19.120.", "\"10.19.120.\" is not an IP address: empty octet"),
        ("10.19.120", "\"10.19.120\" is not an IP address: 3 octets instead of 4"),
        ("10.19.120.07", "\"10.19.120.07\" is not an IP address: leading zero in \"07\""),
        ("..", "\"..\" is not an IP address: empty octet"),
        ("fd00::zz", "\"fd00::zz\" is not an IP address: unexpected character \"z\""),
        ("[fd00::1::2]", "\"fd00::1::2\" is not an IP address: \"::\" appears twice"),
        ("fe80::1%eth0", "\"fe80::1%eth0\" is not an IP address: a zone is not allowed, here \"%eth0\""),
        ("red/10.0.0.256", "\"10.0.0.256\" is not an IP address: octet \"256\" is above 255"),
        // Prefix lengths.
        (
            "10.19.120.7/99",
            "\"10.19.120.7/99\" is not an IP address with a prefix length: \"99\" is not an IPv4 prefix length, from 0"
                + " to 32"
        ),
        (
            "[fd00::7]/129",
            "\"fd00::7/129\" is not an IP address with a prefix length: \"129\" is not an IPv6 prefix length, from 0 to"
                + " 128"
        ),
        (
            "10.19.120.7/web",
            "\"10.19.120.7/web\" is not an IP address with a prefix length: \"web\" is not an IPv4 prefix length, from 0"
                + " to 32"
        ),
    ])
    func `What looks like an address and is none is no name either`(_ text: String, _ problem: String) {
        let error = #expect(throws: ConsoleError.self) { try HolderQuery(text, namespace: "shop") }
        #expect(error?.problem == problem)
        #expect(error?.remedy.isEmpty == false)
    }

    @Test func `What says of which kind it is may look like an address`() throws {
        let key = PodKey(namespace: "shop", name: "10.19.120.300")
        #expect(try HolderQuery("pod/10.19.120.300", namespace: "shop") == .pod(key))
        #expect(try HolderQuery("node/10.19.120.300", namespace: "shop") == .node("10.19.120.300"))
        #expect(try HolderQuery("claim/10.19.120.300", namespace: "shop") == .claim(key))
        // One dot is that of a version.
        #expect(try HolderQuery("1.2", namespace: "shop") == .name(PodKey(namespace: "shop", name: "1.2")))
        #expect(try WaitTarget("ippool/10.19.120").isPool)
        #expect(throws: ConsoleError.self) { try WaitTarget("10.19.120") }
    }

    @Test func `A network must be one`() {
        let error = #expect(throws: ConsoleError.self) { try HolderQuery("10.0.0.7", namespace: "n", network: "Red") }
        // Other projects have a kind of the name ippools.
        #expect(error?.remedy == "`kubectl get ippools.ipam.berth.dev` shows them")
    }

    @Test func `Pools and allocations can be waited for`() throws {
        #expect(try WaitTarget("blue").isPool)
        #expect(try WaitTarget("ippool/fd00-0000-0000-0000-0000-0000-0000-0007").isPool)
        #expect(try WaitTarget("fd00::7").name == "fd00-0000-0000-0000-0000-0000-0000-0007")
        #expect(try WaitTarget("red/10.0.0.7").name == "red.10.0.0.7")
        #expect(try WaitTarget("10.0.0.7") == .address(try IPAddress(parsing: "10.0.0.7")))
        #expect(try WaitTarget("ipallocation/10.0.0.7").description == "allocation 10.0.0.7")
        #expect(try WaitTarget("ipallocation/10.0.0.7") != .address(try IPAddress(parsing: "10.0.0.7")))
        #expect(throws: ConsoleError.self) { try WaitTarget("node/a") }
    }

    @Test func `An address is gone when no network has it, and has a state where one network has it`() throws {
        let address = try IPAddress(parsing: "10.0.0.7")
        func found(_ names: String...) throws -> [(name: AllocationName, json: JSON)] {
            try names.map {
                (name: try #require(AllocationName(objectName: $0)), json: ["spec": ["state": "Bound"]])
            }
        }
        func outcome(_ condition: WaitCondition, _ names: [(name: AllocationName, json: JSON)]) throws
            -> WaitCondition.Outcome
        {
            try condition.judge(address, names).outcome
        }
        #expect(try outcome(.gone, []) == .met)
        #expect(try outcome(.gone, try found("red.10.0.0.7")) == .notYet("red.10.0.0.7 exists"))
        #expect(
            try outcome(.gone, try found("10.0.0.7", "red.10.0.0.7")) == .notYet("10.0.0.7, red.10.0.0.7 exist"))
        #expect(try outcome(.state(.bound), []) == .notYet("it does not exist"))
        #expect(try outcome(.state(.bound), try found("red.10.0.0.7")) == .met)
        #expect(
            try WaitCondition.state(.bound).judge(address, try found("red.10.0.0.7")).of?.objectName == "red.10.0.0.7")
        let error = try #require(throws: ConsoleError.self) {
            try outcome(.state(.bound), try found("10.0.0.7", "red.10.0.0.7"))
        }
        #expect(error.problem == "10.0.0.7 is in more than one network")
        #expect(error.remedy == "name one: ipallocation/10.0.0.7, ipallocation/red.10.0.0.7")
    }
}
