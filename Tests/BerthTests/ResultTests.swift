import CNIProtocol
import IPAMAPI
import IPAMConfiguration
import IPAMEngine
import IPAMLedger
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import Berth

@Suite struct ResultTests {
    private func held(_ address: String, _ spec: IPPool.Spec, inline: Bool = false) throws -> HeldAddress {
        let labels = inline ? [LabelKey.inline: "true"] : [:]
        let pool = IPPool(metadata: ObjectMetadata(name: "p", uid: "u", labels: labels), spec: spec)
        return HeldAddress(
            pool: try ValidatedPool(pool), address: try IPAddress(parsing: address),
            version: ObjectVersion(uid: "u", resourceVersion: "1"))
    }

    private func result(_ held: [HeldAddress], routes: JSON = [], asked: [Route] = []) throws -> CNIResult {
        try AddressConfiguration(try network(["pools": ["p"], "routes": routes]))
            .result(ClaimedAddresses(held: held, routes: asked))
    }

    @Test func `routes of the pod come before those of the configuration and the pool`() throws {
        let route = Route(dst: try IPPrefix(parsing: "10.9.0.0/16"), gw: try IPAddress(parsing: "10.0.0.9"))
        let held = try held(
            "10.0.0.7", .init(subnet: "10.0.0.0/22", routes: [.init(dst: "10.9.0.0/16", gw: "10.0.0.8")]))
        let result = try result([held], routes: [["dst": "10.8.0.0/16"]], asked: [route])
        #expect(result.routes.map(\.dst.description) == ["10.9.0.0/16", "10.8.0.0/16"])
        #expect(result.routes.first?.gw == route.gw)
    }

    @Test func `addresses carry the subnet's prefix length and the gateway`() throws {
        let result = try result([
            try held("10.0.0.7", .init(subnet: "10.0.0.0/22", gateway: "10.0.3.254")),
            try held("fd00::7", .init(subnet: "fd00::/64")),
        ])
        #expect(result.ips.map(\.address.description) == ["10.0.0.7/22", "fd00::7/64"])
        #expect(result.ips.map { $0.gateway?.description } == ["10.0.3.254", nil])
    }

    @Test func `a pool's gateway makes the default route of its family`() throws {
        let result = try result([
            try held("10.0.0.7", .init(subnet: "10.0.0.0/24", gateway: "10.0.0.1")),
            try held("fd00::7", .init(subnet: "fd00::/64", gateway: "fd00::1")),
        ])
        #expect(result.routes.map(\.dst.description) == ["0.0.0.0/0", "::/0"])
        #expect(result.routes.map { $0.gw?.description } == ["10.0.0.1", "fd00::1"])
    }

    @Test func `a gateway beside an inline range makes no default route`() throws {
        let result = try result([
            try held("10.0.0.7", .init(subnet: "10.0.0.0/24", gateway: "10.0.0.1"), inline: true)
        ])
        #expect(result.ips.first?.gateway?.description == "10.0.0.1")
        #expect(result.routes.isEmpty)
    }

    @Test func `a default route that is written down replaces the gateway's`() throws {
        let result = try result(
            [try held("10.0.0.7", .init(subnet: "10.0.0.0/24", gateway: "10.0.0.1"))],
            routes: [["dst": "0.0.0.0/0", "gw": "10.0.0.9"]])
        #expect(result.routes.map { $0.gw?.description } == ["10.0.0.9"])
    }

    @Test func `routes of the configuration come before those of the pool, each once`() throws {
        let result = try result(
            [
                try held(
                    "10.0.0.7",
                    .init(
                        subnet: "10.0.0.0/24",
                        routes: [.init(dst: "10.8.0.0/16", gw: "10.0.0.3"), .init(dst: "10.9.0.0/16", mtu: 1400)]))
            ],
            routes: [["dst": "10.8.0.0/16", "gw": "10.0.0.2"]])
        #expect(result.routes.map(\.dst.description) == ["10.8.0.0/16", "10.9.0.0/16"])
        #expect(result.routes.map { $0.gw?.description } == ["10.0.0.2", nil])
        #expect(result.routes.map(\.mtu) == [nil, 1400])
    }
}
