import CNIProtocol
import IPAMAPI
import IPAMConfiguration
import IPAMEngine
import IPAddressing
import JSONText
import Testing

@testable import Berth

@Suite struct AddressConfigurationTests {
    private func ranges(_ ipam: JSON, _ members: JSON = [:]) throws -> [[InlinePoolDefinition]] {
        guard case .inline(let ranges) = try AddressConfiguration(try network(ipam, members)).demand else { return [] }
        return ranges
    }

    private func error(_ ipam: JSON, _ members: JSON = [:]) throws -> CNIError? {
        let configuration = try network(ipam, members)
        return failure { () throws(CNIError) in try AddressConfiguration(configuration) }
    }

    @Test func `pools are taken in the order of the list`() throws {
        let configuration = try AddressConfiguration(try network(["pools": ["b", "a", "c"]]))
        #expect(configuration.demand == .named(try ["b", "a", "c"].map { try NamePattern(parsing: $0) }))
        #expect(configuration.staticAddresses.isEmpty)
        #expect(configuration.dns == nil)
    }

    /// An `ipam` section, and a part of the message that it must be refused with.
    private static let refused: [(ipam: String, fragment: String)] = [
        // Nothing to allocate from.
        (#"{"pool": "a"}"#, "ipam.pool: unknown; is \"pools\" meant?"),
        // Almost a key, beside what is complete.
        (#"{"pools": ["a"], "family": ["IPv6"]}"#, "ipam.family: unknown; is \"families\" meant?"),
        (#"{"pools": ["a"], "ranges": [[{"subnet": "10.0.0.0/8"}]]}"#, "is \"range\" meant?"),
        (#"{"range": "10.0.0.0/24", "rangeStart": "10.0.0.9"}"#, "is \"range_start\" meant?"),
        // Another plugin's, where default pools would serve.
        (#"{"subnet": "10.0.0.0/8"}"#, "ipam.subnet: unknown, and neither pools nor a range is named"),
        (#"{"default_ipv4_ippool": ["a"]}"#, "ipam.default_ipv4_ippool: unknown"),
        (#"{"pools": []}"#, "is empty"),
        (#"{"families": ["IPv5"]}"#, "families"),
        // Names that no pool can have.
        (#"{"pools": ["a", "a"]}"#, "listed twice"),
        (#"{"pools": ["../secrets"]}"#, "not a name"),
        (#"{"pools": ["Upper"]}"#, "not a name"),
        (#"{"pools": [""]}"#, "not a name"),
        // Both ways at once.
        (#"{"pools": ["a"], "range": "10.0.0.0/24"}"#, "cannot stand beside"),
        (#"{"pools": ["a"], "gateway": "10.0.0.1"}"#, "gateway"),
        // Ranges.
        (#"{"range": "10.0.0.0"}"#, "range"),
        (#"{"range": "10.0.0.0/33"}"#, "range"),
        (#"{"range": "10.0.0.10-10.0.1.10/24"}"#, "range"),
        (#"{"range": "10.0.0.0/24", "range_start": "10.0.1.1"}"#, "range"),
        (#"{"range": "10.0.0.0/24", "range_start": "10.0.0.9", "range_end": "10.0.0.5"}"#, "range"),
        (#"{"range": "10.0.0.0/24", "exclude": ["x"]}"#, "exclude[0]"),
        (#"{"range": "10.0.0.0/24", "exclude": ["10.0.0.0/24"]}"#, "cannot be a pool"),
        (#"{"range": "10.0.0.0/24", "gateway": "10.0.1.1"}"#, "not in the subnet"),
        (#"{"range": "10.0.0.0/24", "gateway": "10.0.0.01"}"#, "gateway"),
        (#"{"range": "10.0.0.0/24", "network_name": "No_Name"}"#, "network_name"),
        (#"{"ipRanges": [{"range_start": "10.0.0.1"}]}"#, "range"),
        // The rest.
        (#"{"pools": ["a"], "routes": [{"dst": "10.0.0.1/8"}]}"#, "routes[0].dst"),
        (#"{"pools": ["a"], "routes": [{"dst": "10.0.0.0/8", "gw": "fd00::1"}]}"#, "routes[0].gw"),
        (#"{"addresses": [{"address": "10.0.0.5"}]}"#, "address"),
        (#"{"addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.1.1"}]}"#, "gateway"),
    ]

    @Test func `without pools and ranges annotations and default pools decide`() throws {
        let configuration = try AddressConfiguration(try network(["families": ["IPv6", "IPv4"]]))
        #expect(configuration.demand == .defaults)
        #expect(configuration.families == [.v6, .v4])
        #expect(try AddressConfiguration(try network(["pools": ["blue-*"]])).families == nil)
    }

    @Test(arguments: refused)
    func `what makes no sense is an error that names the member`(ipam: String, fragment: String) throws {
        let error = try error(try JSON(parsing: ipam))
        #expect([CNIError.undecodable, CNIError.invalidConfiguration].contains(error?.code ?? 0), "\(ipam)")
        #expect(error?.message.contains(fragment) == true, "\(error?.message ?? "no error")")
    }

    @Test(arguments: ["10.0.0.0/28", "10.0.0.5/28", "10.0.0.15/28"])
    func `two spellings of one range are one pool`(range: String) throws {
        let pool = try #require(try ranges(["range": .string(range)]).first?.first)
        #expect(pool.subnet.description == "10.0.0.0/28")
        #expect(pool.poolName == (try ranges(["range": "10.0.0.0/28"])[0][0].poolName))
    }

    @Test func `every key of a range reaches its pool`() throws {
        let pool = try #require(
            try ranges([
                "range": "10.0.0.0/24", "range_start": "10.0.0.10", "range_end": "10.0.0.20",
                "exclude": ["10.0.0.13/30", "10.0.0.20"], "gateway": "10.0.0.1", "network_name": "blue",
            ]).first?.first)
        #expect(pool.range?.description == "10.0.0.10-10.0.0.20")
        #expect(pool.exclude.map(\.description) == ["10.0.0.12-10.0.0.15", "10.0.0.20"])
        #expect(pool.gateway?.description == "10.0.0.1")
        #expect(pool.network == "blue")
    }

    @Test func `ipRanges follow range, one address from each, with the gateway where it fits`() throws {
        let ranges = try ranges([
            "range": "10.0.0.0/24", "gateway": "fd00::1",
            "ipRanges": [["range": "fd00::/64"], ["range": "10.1.0.10-10.1.0.20/24"]],
        ])
        #expect(ranges.map(\.count) == [1, 1, 1])
        #expect(ranges.flatMap { $0 }.map(\.subnet.description) == ["10.0.0.0/24", "fd00::/64", "10.1.0.0/24"])
        #expect(ranges.flatMap { $0 }.map { $0.gateway?.description } == [nil, "fd00::1", nil])
    }

    @Test func `the runtime's ranges replace those of the configuration`() throws {
        let ranges = try ranges(
            ["range": "10.0.0.0/24"],
            [
                "runtimeConfig": [
                    "ipRanges": [[["subnet": "10.9.0.0/24", "rangeStart": "10.9.0.5"], ["subnet": "10.8.0.0/24"]]]
                ]
            ])
        #expect(ranges.count == 1)
        #expect(ranges[0].map(\.subnet.description) == ["10.9.0.0/24", "10.8.0.0/24"])
        #expect(ranges[0][0].range?.description == "10.9.0.5-10.9.0.254")
    }

    @Test(
        arguments: [
            ("10.0.0.0/24", "rangeStart", "10.0.0.255"), ("10.0.0.0/24", "rangeEnd", "10.0.0.0"),
            ("fd00::/64", "rangeEnd", "fd00::"),
        ])
    func `one bound of the runtime within which nothing is usable is an error, and not the whole subnet`(
        subnet: String, bound: String, address: String
    ) throws {
        let element: JSON = ["subnet": .string(subnet), bound: .string(address)]
        let error = try #require(try error([:], ["runtimeConfig": ["ipRanges": [[element]]]]))
        #expect("\(error)".contains("the range \(address) cannot be a pool: no address of"), "\(error)")
    }

    @Test func `one bound of the runtime leaves the other one to the subnet`() throws {
        let element: JSON = ["subnet": "10.0.0.0/24", "rangeEnd": "10.0.0.9"]
        let ranges = try ranges([:], ["runtimeConfig": ["ipRanges": [[element]]]])
        #expect(ranges[0][0].range?.description == "10.0.0.1-10.0.0.9")
    }

    @Test func `static addresses have a pool of their subnet`() throws {
        let configuration = try AddressConfiguration(
            try network(["addresses": [["address": "10.0.0.5/24", "gateway": "10.0.0.1"], ["address": "fd00::5/64"]]]))
        #expect(configuration.demand == .inline([]))
        #expect(configuration.staticAddresses.map(\.address.description) == ["10.0.0.5", "fd00::5"])
        #expect(configuration.staticAddresses.map(\.pool.subnet.description) == ["10.0.0.0/24", "fd00::/64"])
        #expect(configuration.staticAddresses.map { $0.pool.gateway?.description } == ["10.0.0.1", nil])
    }

    @Test func `routes and dns are read`() throws {
        let configuration = try AddressConfiguration(
            try network([
                "pools": ["a"], "routes": [["dst": "0.0.0.0/0"], ["dst": "fd09::/48", "gw": "fd00::1", "mtu": 1400]],
                "dns": ["nameservers": ["10.0.0.2"], "domain": "example.org", "search": ["a"], "options": ["ndots:2"]],
            ]))
        #expect(configuration.routes.map(\.dst.description) == ["0.0.0.0/0", "fd09::/48"])
        #expect(configuration.routes.map(\.mtu) == [nil, 1400])
        #expect(configuration.dns?.nameservers == ["10.0.0.2"])
        #expect(configuration.dns?.options == ["ndots:2"])
    }

    @Test func `two addresses of a family are refused before a claim where the version cannot say them`() throws {
        let two: JSON = ["ipRanges": [["range": "10.0.0.0/24"], ["range": "10.1.0.0/24"]]]
        let configuration = try AddressConfiguration(try network(two))
        #expect(failure { () throws(CNIError) in try configuration.supports(.v020) } != nil)
        #expect(failure { () throws(CNIError) in try configuration.supports(.v100) } == nil)
    }

    @Test func `keys of others are no mistake beside pools or ranges, nor what says how whereabouts stores`() throws {
        let storing: JSON = ["kubernetes": ["kubeconfig": "/k"], "leader_lease_duration": 1500, "log_file": "/l"]
        #expect(try AddressConfiguration(try network(storing)).demand == .defaults)
        #expect(try AddressConfiguration(try network(["pools": ["a"], "comment": "b"])).demand != .defaults)
    }
}
