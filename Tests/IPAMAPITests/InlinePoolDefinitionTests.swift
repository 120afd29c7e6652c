import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@Suite struct InlinePoolDefinitionTests {
    static func definition(
        _ subnet: String = "10.19.120.0/22", range text: String? = nil, exclude: [String] = [], gateway: String? = nil,
        network: String = ""
    ) throws -> InlinePoolDefinition {
        InlinePoolDefinition(
            subnet: try prefix(subnet), range: try text.map { try range($0) },
            exclude: try exclude.map { try range($0) },
            gateway: try gateway.map { try ip($0) }, network: network)
    }

    @Test func `the name tells the subnet and ends in a hash of everything`() throws {
        // printf '14:10.19.120.0/220:0:0:0:' | sha256sum | cut -c1-10
        #expect(try Self.definition().poolName == "inline-10.19.120.0-22-296157ba89")
        #expect(
            try Self.definition("fd00:120::/64").poolName.hasPrefix(
                "inline-fd00-0120-0000-0000-0000-0000-0000-0000-64-"))
    }

    @Test(arguments: ["255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "::/0", "0.0.0.0/0"])
    func `every name is that of an object and a label value`(subnet: String) throws {
        let name = try Self.definition(subnet).poolName
        #expect(name.utf8.count <= 63)
        #expect(LabelValue.isValid(name))
        #expect(
            name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                $0.wholeMatch(of: /[a-z0-9]([-a-z0-9]*[a-z0-9])?/) != nil
            })
    }

    @Test func `two spellings of one thing are one pool`() throws {
        let first = try Self.definition(
            "fd00::/64", range: "fd00::10-fd00::1f", exclude: ["fd00::12", "fd00::13", "fd00::13-fd00::15"],
            gateway: "fd00::1")
        let second = try Self.definition(
            "fd00:0:0::/64", range: "FD00::10-fd00:0::1F", exclude: ["fd00::14-fd00::15", "fd00::12/127"],
            gateway: "fd00:0::0001")
        #expect(first == second)
        #expect(first.poolName == second.poolName)
        #expect(first.newObject() == second.newObject())
    }

    @Test func `what says nothing changes nothing`() throws {
        let plain = try Self.definition()
        #expect(try Self.definition(range: "10.19.120.0/22") == plain)
        #expect(try Self.definition(exclude: ["10.20.0.0/16", "fd00::1"]) == plain)
    }

    @Test func `different contents are different pools`() throws {
        let definitions = [
            try Self.definition(), try Self.definition("10.19.120.0/23"), try Self.definition("10.19.124.0/22"),
            try Self.definition(range: "10.19.120.10-10.19.120.20"),
            try Self.definition(exclude: ["10.19.120.10-10.19.120.20"]),
            try Self.definition(range: "10.19.120.10"), try Self.definition(exclude: ["10.19.120.10"]),
            try Self.definition(gateway: "10.19.120.10"), try Self.definition(network: "red"),
            try Self.definition(gateway: "10.19.120.1"), try Self.definition(network: "blue"),
            try Self.definition("fd00::/64"), try Self.definition("fd00::/65"),
        ]
        #expect(Set(definitions.map(\.poolName)).count == definitions.count)
        for first in definitions {
            for second in definitions {
                #expect(first.matches(second.pool) == (first == second))
            }
        }
    }

    @Test func `the object is a valid pool that matches its definition`() throws {
        let definition = try Self.definition(
            range: "10.19.120.10-10.19.120.20", exclude: ["10.19.120.12"], gateway: "10.19.120.1", network: "red")
        #expect(
            definition.newObject() == [
                "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool",
                "metadata": ["name": .string(definition.poolName), "labels": ["ipam.berth.dev/inline": "true"]],
                "spec": [
                    "subnet": "10.19.120.0/22", "ranges": ["10.19.120.10-10.19.120.20"], "exclude": ["10.19.120.12"],
                    "gateway": "10.19.120.1", "network": "red", "cooldown": "10s", "strategy": "Random",
                    "stickiness": "StatefulSets", "disabled": false,
                ],
            ])
        let pool = try IPPool(definition.newObject())
        #expect(definition.matches(pool))
        #expect(try ValidatedPool(pool).isInline)
    }

    @Test func `an administrator may change what does not define the pool`() throws {
        let definition = try Self.definition(range: "10.19.120.10-10.19.120.20")
        var pool = definition.pool
        pool.spec.cooldownSeconds = 0
        pool.spec.disabled = true
        pool.spec.strategy = .sequential
        pool.spec.routes = [.init(dst: "0.0.0.0/0", gw: "10.19.120.1")]
        pool.spec.ranges = ["10.19.120.10-15", "10.19.120.16-10.19.120.20"]
        pool.status = IPPool.Status(reserved: ["10.19.120.11"])
        #expect(definition.matches(pool))
        pool.spec.ranges = ["10.19.120.10-15"]
        #expect(!definition.matches(pool))
    }

    @Test func `a definition that makes no sense is found before anything is created`() throws {
        let definition = try Self.definition(gateway: "10.19.124.1")
        #expect(problem(with: definition.pool)?.field == "spec.gateway")
        #expect(!definition.matches(definition.pool))
    }
}
