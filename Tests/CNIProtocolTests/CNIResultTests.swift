import CNIProtocol
import IPAddressing
import JSONText
import Testing

private func ip(_ address: String, _ gateway: String? = nil) throws -> ResultIP {
    ResultIP(address: try IPInterfaceAddress(parsing: address), gateway: try gateway.map { try IPAddress(parsing: $0) })
}

private func route(_ dst: String, _ gw: String? = nil) throws -> ResultRoute {
    ResultRoute(dst: try IPPrefix(parsing: dst), gw: try gw.map { try IPAddress(parsing: $0) })
}

/// Both families, a route with every attribute zero and one with none.
private func dualStack() throws -> CNIResult {
    var full = try route("10.0.0.0/8", "10.0.0.253")
    (full.mtu, full.advmss, full.priority, full.table, full.scope) = (0, 0, 0, 0, 0)
    return CNIResult(
        ips: [try ip("10.0.0.7/24", "10.0.0.1"), try ip("fd00::7/64")],
        routes: [full, try route("::/0")],
        dns: ResultDNS(nameservers: ["10.0.0.53"], domain: "example.org", search: ["a", "b"], options: ["ndots:2"])
    )
}

private let dns = #"{"nameservers":["10.0.0.53"],"domain":"example.org","search":["a","b"],"options":["ndots:2"]}"#

struct CNIResultTests {
    @Test(arguments: [CNIVersion.v010, .v020])
    func `the oldest versions have a place for each family`(version: CNIVersion) throws {
        #expect(
            try dualStack().json(for: version).description == #"{"cniVersion":"\#(version.rawValue)","#
                + #""ip4":{"ip":"10.0.0.7/24","gateway":"10.0.0.1","#
                + #""routes":[{"dst":"10.0.0.0/8","gw":"10.0.0.253"}]},"#
                + #""ip6":{"ip":"fd00::7/64","routes":[{"dst":"::/0"}]},"dns":\#(dns)}"#
        )
    }

    @Test(arguments: [CNIVersion.v030, .v031, .v040])
    func `the versions between name the family`(version: CNIVersion) throws {
        #expect(
            try dualStack().json(for: version).description == #"{"cniVersion":"\#(version.rawValue)","ips":["#
                + #"{"version":"4","address":"10.0.0.7/24","gateway":"10.0.0.1"},"#
                + #"{"version":"6","address":"fd00::7/64"}],"#
                + #""routes":[{"dst":"10.0.0.0/8","gw":"10.0.0.253"},{"dst":"::/0"}],"dns":\#(dns)}"#
        )
    }

    @Test(arguments: [
        (CNIVersion.v100, ""), (.v110, #","mtu":0,"advmss":0,"priority":0,"table":0,"scope":0"#),
    ])
    func `from 1.0.0 there is a list, from 1.1.0 with route attributes`(version: CNIVersion, more: String) throws {
        #expect(
            try dualStack().json(for: version).description == #"{"cniVersion":"\#(version.rawValue)","ips":["#
                + #"{"address":"10.0.0.7/24","gateway":"10.0.0.1"},{"address":"fd00::7/64"}],"#
                + #""routes":[{"dst":"10.0.0.0/8","gw":"10.0.0.253"\#(more)},{"dst":"::/0"}],"dns":\#(dns)}"#
        )
    }

    @Test(arguments: CNIVersion.allCases)
    func `nothing empty is written`(version: CNIVersion) throws {
        let result = CNIResult(ips: [try ip("10.0.0.7/24")], dns: ResultDNS(domain: ""))
        let json = try result.json(for: version)
        #expect(json.object?.names.contains("routes") == false)
        #expect(json.object?.names.contains("dns") == false)
        #expect(json.object?.names.contains("ip6") == false)
        #expect(json.object?.names.contains("interfaces") == false)
        #expect((json["ips"]?.array?.first ?? json["ip4"])?.object?.names.contains("gateway") == false)
    }

    @Test func `route attributes keep their values`() throws {
        var only = try route("10.0.0.0/8")
        (only.mtu, only.table, only.scope) = (1400, 4_294_967_295, 254)
        let json = try CNIResult(ips: [ip("10.0.0.7/24")], routes: [only]).json(for: .v110)
        #expect(json["routes"] == [["dst": "10.0.0.0/8", "mtu": 1400, "table": 4_294_967_295, "scope": 254]])
    }

    @Test func `a route of a family without an address has no place below 0 3 0`() throws {
        let result = CNIResult(ips: [try ip("10.0.0.7/24")], routes: [try route("::/0", "fd00::1")])
        let json = try result.json(for: .v020)
        #expect(json == ["cniVersion": "0.2.0", "ip4": ["ip": "10.0.0.7/24"]])
    }

    @Test func `several addresses of a family keep their order`() throws {
        let result = CNIResult(ips: [try ip("fd00::7/64"), try ip("10.0.0.7/24"), try ip("10.0.1.7/24")])
        let json = try result.json(for: .v040)
        #expect(json["ips"]?.array?.compactMap { $0["version"]?.string } == ["6", "4", "4"])
    }

    @Test(
        arguments: [
            (CNIVersion.v010, 1, 0, nil), (.v010, 0, 1, nil), (.v020, 1, 1, nil), (.v030, 3, 2, nil),
            (.v110, 5, 5, nil),
            (.v010, 2, 0, 2), (.v020, 1, 2, 2), (.v020, 0, 0, 7), (.v110, 0, 0, 7),
        ] as [(CNIVersion, Int, Int, Int?)])
    func `what a version cannot carry is known before`(
        version: CNIVersion, v4Count: Int, v6Count: Int, code: Int?
    ) throws {
        let before = cniError { try CNIResult.supports(version: version, v4Count: v4Count, v6Count: v6Count) }
        #expect(before?.code == code)

        let ips =
            try Array(repeating: ip("10.0.0.7/24"), count: v4Count)
            + Array(repeating: ip("fd00::7/64"), count: v6Count)
        let after = cniError { _ = try CNIResult(ips: ips).json(for: version) }
        #expect(after == before)
    }

    @Test func `the error names the key and its value`() {
        let error = cniError { try CNIResult.supports(version: .v020, v4Count: 2, v6Count: 0) }
        #expect(error?.message == "cniVersion \"0.2.0\" carries one IPv4 address, not 2")
    }
}
