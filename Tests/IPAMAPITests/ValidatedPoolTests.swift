import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

/// A spec and what is wrong with it.
struct BadPool: CustomTestStringConvertible, Sendable {
    var spec: IPPool.Spec
    var name = "blue"
    var status: IPPool.Status?
    var field: String
    var message: String

    var testDescription: String { "\(field): \(message)" }

    init(_ spec: IPPool.Spec, _ field: String, _ message: String) {
        self.spec = spec
        self.field = field
        self.message = message
    }

    static func v4(
        _ field: String, _ message: String, ranges: [String] = [], exclude: [String] = [], gateway: String? = nil,
        routes: [IPPool.RouteSpec] = []
    ) -> Self {
        let spec = IPPool.Spec(
            subnet: "10.0.0.0/24", ranges: ranges, exclude: exclude, gateway: gateway, routes: routes)
        return Self(spec, field, message)
    }

    static let v4Subnet = "within the subnet 10.0.0.0/24"
    static let familyMismatch = "is IPv6, but the subnet 10.0.0.0/24 is IPv4"
    static let unusable =
        "is usable: ranges, exclude, gateway, and the addresses that no host may have, leave none"

    static let all: [BadPool] = [
        // The subnet.
        Self(.init(subnet: ""), "spec.subnet", "\"\" is not an IP prefix: an address is missing"),
        Self(.init(subnet: "10.0.0.0"), "spec.subnet", "\"10.0.0.0\" is not an IP prefix: a prefix length is missing"),
        Self(
            .init(subnet: "10.0.0.0/33"), "spec.subnet",
            "\"10.0.0.0/33\" is not an IP prefix: \"33\" is not an IPv4 prefix length, from 0 to 32"),
        Self(
            .init(subnet: "10.0.0.1/24"), "spec.subnet",
            "\"10.0.0.1/24\" is not an IP prefix: it has host bits; the prefix is 10.0.0.0/24"),
        Self(.init(subnet: "FD00:0::/64"), "spec.subnet", "\"FD00:0::/64\" must be written \"fd00::/64\""),
        // Ranges.
        v4("spec.ranges[0]", "\"10.0.1.5\" is not \(v4Subnet)", ranges: ["10.0.1.5"]),
        v4("spec.ranges[0]", "\"10.0.0.5-10.0.1.5\" is not \(v4Subnet)", ranges: ["10.0.0.5-10.0.1.5"]),
        v4("spec.ranges[1]", "\"10.0.0.0/23\" is not \(v4Subnet)", ranges: ["10.0.0.7", "10.0.0.0/23"]),
        v4("spec.ranges[0]", "\"fd00::1\" \(familyMismatch)", ranges: ["fd00::1"]),
        v4("spec.ranges[0]", "\"10.0.0.9-5\" is not an IP range: it ends before it begins", ranges: ["10.0.0.9-5"]),
        // Excludes.
        v4("spec.exclude[1]", "\"10.0.1.0/30\" is not \(v4Subnet)", exclude: ["10.0.0.4/30", "10.0.1.0/30"]),
        v4("spec.exclude[0]", "\"fd00::/64\" \(familyMismatch)", exclude: ["fd00::/64"]),
        v4(
            "spec.exclude[0]", "\"10.0.0.5/30\" is not an IP range: it has host bits; the prefix is 10.0.0.4/30",
            exclude: ["10.0.0.5/30"]),
        // The gateway.
        v4("spec.gateway", "\"10.0.1.1\" is not \(v4Subnet)", gateway: "10.0.1.1"),
        v4("spec.gateway", "\"fd00::1\" \(familyMismatch)", gateway: "fd00::1"),
        v4("spec.gateway", "\"10.0.0.0\" is the network address of the subnet 10.0.0.0/24", gateway: "10.0.0.0"),
        v4("spec.gateway", "\"10.0.0.255\" is the broadcast address of the subnet 10.0.0.0/24", gateway: "10.0.0.255"),
        v4(
            "spec.gateway", "\"10.0.0.01\" is not an IP address: leading zero in \"01\"", gateway: "10.0.0.01"),
        // Routes.
        v4(
            "spec.routes[0].dst", "\"10.0.0.1/8\" is not an IP prefix: it has host bits; the prefix is 10.0.0.0/8",
            routes: [.init(dst: "10.0.0.1/8")]),
        v4("spec.routes[0].dst", "\"fd00::/8\" \(familyMismatch)", routes: [.init(dst: "fd00::/8")]),
        v4(
            "spec.routes[1].gw", "\"fd00::1\" \(familyMismatch)",
            routes: [.init(dst: "10.0.0.0/8"), .init(dst: "10.0.0.0/8", gw: "fd00::1")]),
        v4(
            "spec.routes[0].gw", "\"x\" is not an IP address: \"x\" is neither dotted IPv4 nor colon-separated IPv6",
            routes: [.init(dst: "10.0.0.0/8", gw: "x")]),
        v4(
            "spec.routes[1].gw", "\"10.0.1.1\" is not \(v4Subnet)",
            routes: [.init(dst: "10.9.0.0/16", gw: "10.0.0.1"), .init(dst: "10.8.0.0/16", gw: "10.0.1.1")]),
        Self(
            .init(subnet: "fd00::/64", routes: [.init(dst: "::/0", gw: "fd01::1")]), "spec.routes[0].gw",
            "\"fd01::1\" is not within the subnet fd00::/64"),
        v4(
            "spec.routes[0].mtu", "-1 is not between 0 and 65536", routes: [.init(dst: "10.0.0.0/8", mtu: -1)]),
        v4(
            "spec.routes[0].advmss", "65536 is not between 0 and 65535",
            routes: [.init(dst: "10.0.0.0/8", advmss: 65_536)]),
        v4(
            "spec.routes[0].priority", "4294967296 is not between 0 and 4294967295",
            routes: [.init(dst: "10.0.0.0/8", priority: 1 << 32)]),
        v4(
            "spec.routes[0].table", "-1 is not between 0 and 4294967295", routes: [.init(dst: "10.0.0.0/8", table: -1)]),
        v4(
            "spec.routes[0].scope", "256 is not between 0 and 255", routes: [.init(dst: "10.0.0.0/8", scope: 256)]),
        // What is left.
        Self(.init(subnet: "10.0.0.1/32", gateway: "10.0.0.1"), "spec", "no address of \"10.0.0.1/32\" \(unusable)"),
        v4("spec", "no address of \"10.0.0.0/24\" \(unusable)", ranges: ["10.0.0.9"], exclude: ["10.0.0.8/30"]),
        v4("spec", "no address of \"10.0.0.0/24\" \(unusable)", ranges: ["10.0.0.0", "10.0.0.255"]),
        Self(.init(subnet: "224.1.0.0/16"), "spec", "no address of \"224.1.0.0/16\" \(unusable)"),
        Self(.init(subnet: "127.0.0.0/24"), "spec", "no address of \"127.0.0.0/24\" \(unusable)"),
        Self(.init(subnet: "ff05::/64"), "spec", "no address of \"ff05::/64\" \(unusable)"),
        // Names and numbers.
        Self(
            .init(subnet: "10.0.0.0/24", network: "1a"), "spec.network",
            "\"1a\" is not a network: lower-case letters, digits and '-', a letter first, no '-' last, at most 63"),
        Self(
            .init(subnet: "10.0.0.0/24", cooldownSeconds: 86_401), "spec.cooldown", "\"24h0m1s\" is longer than 24h"),
        Self(
            .init(subnet: "10.0.0.0/24", namespaceQuota: 0), "spec.namespaceQuota",
            "0 would serve nobody; leave it out, or use spec.disabled"),
        Self(
            .init(subnet: "10.0.0.0/24", namespaceQuota: -1), "spec.namespaceQuota",
            "-1 would serve nobody; leave it out, or use spec.disabled"),
    ]
}

@Suite struct ValidatedPoolTests {
    @Test(arguments: BadPool.all)
    func `a pool that makes no sense is refused with its field and its value`(bad: BadPool) {
        let found = problem(with: IPPool(metadata: ObjectMetadata(name: bad.name), spec: bad.spec))
        #expect(found == PoolProblem(field: bad.field, message: bad.message))
        #expect(found?.description == "\(bad.field): \(bad.message)")
    }

    @Test func `a name that is no label value is refused`() {
        let spec = IPPool.Spec(subnet: "10.0.0.0/24")
        let long = String(repeating: "a", count: 64)
        #expect(
            problem(with: IPPool(metadata: ObjectMetadata(name: long), spec: spec))
                == PoolProblem(field: "metadata.name", message: "\"\(long)\" is longer than 63 characters"))
        #expect(problem(with: IPPool(metadata: ObjectMetadata(name: String(long.dropLast())), spec: spec)) == nil)
    }

    @Test(arguments: ["a", "red", "net-1", String(repeating: "n", count: 63)])
    func `a network is a DNS label that begins with a letter`(network: String) {
        #expect(
            problem(with: IPPool(metadata: .init(name: "p"), spec: .init(subnet: "10.0.0.0/24", network: network)))
                == nil)
    }

    @Test(arguments: ["A", "-a", "a-", "a.b", "a_b", "ä", "10", " ", String(repeating: "n", count: 64)])
    func `what could be part of an address is no network`(network: String) {
        let found = problem(
            with: IPPool(metadata: .init(name: "p"), spec: .init(subnet: "10.0.0.0/24", network: network)))
        #expect(found?.field == "spec.network")
        #expect(found?.message.hasPrefix("\(network.debugDescription) is not a network") == true)
    }

    @Test(
        arguments: [
            // Subnets without a network and broadcast address have none to refuse.
            ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"), ("10.0.0.0/31", "10.0.0.1", "10.0.0.0"),
            ("10.0.0.0/30", "10.0.0.1", "10.0.0.2"), ("fd00::/127", "fd00::1", "fd00::"),
            // A router answers to the subnet-router anycast address.
            ("fd00::/126", "fd00::", "fd00::1-fd00::3"), ("fd00::/126", "FD00::3", "fd00::1-fd00::2"),
        ])
    func `a gateway is an address of the subnet, and is not usable`(
        subnet: String, gateway: String, usable: String
    ) throws {
        let pool = try ValidatedPool(
            IPPool(metadata: ObjectMetadata(name: "p"), spec: .init(subnet: subnet, gateway: gateway)))
        #expect(pool.gateway == (try ip(gateway)))
        #expect(pool.usable.description == usable)
    }

    @Test(arguments: ["fe80::1", "FE80::1", "febf:ffff::1", "fd00::1"])
    func `a route's next hop may be an address of the subnet or of the IPv6 link`(gateway: String) throws {
        let spec = IPPool.Spec(subnet: "fd00::/64", routes: [.init(dst: "::/0", gw: gateway)])
        let pool = try ValidatedPool(IPPool(metadata: ObjectMetadata(name: "p"), spec: spec))
        #expect(pool.routes.first?.gw == (try ip(gateway)))
    }

    @Test func `everything that was written is there, parsed`() throws {
        let pool = try ValidatedPool(.full)
        #expect(pool.name == "blue")
        #expect(pool.subnet == (try prefix("10.19.120.0/22")))
        #expect(pool.family == .v4)
        #expect(pool.configured.description == "10.19.120.10-10.19.121.255, 10.19.123.0-10.19.123.250")
        #expect(pool.gateway == (try ip("10.19.123.254")))
        #expect(
            pool.routes == [
                Route(
                    dst: try prefix("10.0.0.0/8"), gw: try ip("10.19.123.253"), mtu: 1400, advmss: 1360, priority: 7,
                    table: 100, scope: 253)
            ])
        #expect(pool.network == "red")
        #expect(pool.cooldownSeconds == 90)
        #expect(pool.strategy == .sequential)
        #expect(pool.isDisabled)
        #expect(!pool.isInline)
        #expect(!pool.isBeingDeleted)
        #expect(pool.status == IPPool.full.status)
    }

    @Test func `metadata tells identity, deletion and whether the pool is inline`() throws {
        let json = poolObject(
            ["subnet": "10.0.0.0/24"],
            metadata: [
                "uid": "u", "generation": 7, "deletionTimestamp": "2025-11-20T10:00:00Z",
                "labels": ["ipam.berth.dev/inline": "true"],
            ])
        let pool = try ValidatedPool(try IPPool(json))
        #expect((pool.uid, pool.generation) == ("u", 7))
        #expect(pool.isInline)
        #expect(pool.isBeingDeleted)
    }

    @Test func `reserved ranges are not usable, whatever generation they were written for`() throws {
        var pool = IPPool(metadata: ObjectMetadata(name: "p", generation: 5), spec: .init(subnet: "10.0.0.0/29"))
        pool.status = IPPool.Status(reserved: ["10.0.0.2-4"], observedGeneration: 4)
        #expect(try ValidatedPool(pool).usable.description == "10.0.0.1, 10.0.0.5-10.0.0.6")
        #expect(try ValidatedPool(pool).configured.description == "10.0.0.1-10.0.0.6")
        // A reservation of everything is no mistake of the pool.
        pool.status?.reserved = ["10.0.0.0/29"]
        #expect(try ValidatedPool(pool).usable.isEmpty)
        // One that cannot be understood must not be passed over.
        pool.status?.reserved = ["10.0.0.2-"]
        #expect(problem(with: pool)?.field == "status.reserved[0]")
    }

    @Test func `an occupancy counts only for the pool's present generation`() throws {
        var pool = IPPool(metadata: ObjectMetadata(name: "p", generation: 5), spec: .init(subnet: "10.0.0.0/24"))
        let window = IPPool.OccupancyWindow(first: "10.0.0.8", bitmap: [1])
        pool.status = IPPool.Status(occupancy: window, observedGeneration: 5)
        #expect(try ValidatedPool(pool).occupancy == Occupancy(first: try ip("10.0.0.8"), bitmap: [1]))
        pool.status?.observedGeneration = 4
        #expect(try ValidatedPool(pool).occupancy == nil)
    }

    @Test(arguments: ["", "x", "10.0.1.0", "fd00::1"])
    func `a hint that makes no sense is no hint`(first: String) throws {
        var pool = IPPool(metadata: ObjectMetadata(name: "p", generation: 5), spec: .init(subnet: "10.0.0.0/24"))
        pool.status = IPPool.Status(occupancy: .init(first: first, bitmap: [1]), observedGeneration: 5)
        #expect(try ValidatedPool(pool).occupancy == nil)
        pool.status?.occupancy = .init(first: "10.0.0.0", bitmap: [])
        #expect(try ValidatedPool(pool).occupancy == nil)
    }
}
