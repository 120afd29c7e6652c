import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

/// The files of config/ beside the schemas.
@Suite struct ConfigTests {
    @Test func `the samples are valid pools, one of each family`() throws {
        let pools = try ConfigFile.documents("samples/dual-stack.yaml").map { try ValidatedPool(try IPPool($0)) }
        #expect(pools.map(\.name) == ["blue-v4", "blue-v6"])
        #expect(pools.map(\.family) == [.v4, .v6])
        #expect(pools.map { $0.usable.count } == [983, 65_536])
    }

    @Test func `the samples are valid reservations of addresses that the pools have`() throws {
        let reservations = try ConfigFile.documents("samples/reservation.yaml").map {
            try ValidatedReservation(try IPReservation($0))
        }
        #expect(reservations.map(\.name) == ["routers", "egress"])
        #expect(reservations.map(\.purpose) == [nil, "egress"])
        let pools = try ConfigFile.documents("samples/dual-stack.yaml").map { try ValidatedPool(try IPPool($0)) }
        for pool in pools {
            let inside = pool.configured.intersection(reservations[0].addresses(pool.family))
            #expect(inside == reservations[0].addresses(pool.family))
        }
        #expect(pools[0].configured.intersection(reservations[1].v4).count == 8)
    }

    @Test func `the samples are valid pools that are sliced, and a block of one`() throws {
        let documents = try ConfigFile.documents("samples/blocks.yaml")
        let pools = try documents.filter { $0["kind"] == "IPPool" }.map { try ValidatedPool(try IPPool($0)) }
        let blocks = try documents.filter { $0["kind"] == "IPBlock" }.map { try ValidatedBlock(try IPBlock($0)) }
        #expect(pools.map(\.blockCount) == [256, 32])
        #expect(blocks.map { $0.isPart(of: pools[0]) } == [true])
        #expect(blocks.map(\.metadata.labels) == blocks.map(\.spec.labels))
    }

    @Test(arguments: [
        "application-range", "blocks", "claims", "default-pools", "draining", "dual-stack", "families", "ipam-claim",
        "isolated-networks", "pod-choice", "quota", "racks", "reservation", "secondary-interfaces", "statefulset",
        "stickiness", "virtual-machine", "vlans",
    ])
    func `every sample makes sense`(name: String) throws {
        for document in try ConfigFile.documents("samples/\(name).yaml") {
            switch document["kind"]?.string {
            case "IPPool": _ = try ValidatedPool(try IPPool(document))
            case "IPReservation": _ = try ValidatedReservation(try IPReservation(document))
            case "IPBlock": _ = try ValidatedBlock(try IPBlock(document))
            case "IPClaim": _ = try IPClaim(document)
            case let kind:
                #expect(
                    ["Pod", "StatefulSet", "Namespace", "NetworkAttachmentDefinition", "VirtualMachine", "IPAMClaim"]
                        .contains(kind))
            }
        }
    }

    @Test func `the sample claims and their pool make sense`() throws {
        let documents = try ConfigFile.documents("samples/claims.yaml")
        let claims = try documents.filter { $0["kind"] == "IPClaim" }.map { try IPClaim($0) }
        #expect(claims.map(\.spec.retention.policy) == [.untilClaimDeleted, .untilClaimDeleted, .period])
        #expect(claims.map(\.spec.retention.seconds) == [nil, nil, 7200])
        let pools = try documents.filter { $0["kind"] == "IPPool" }.map { try ValidatedPool(try IPPool($0)) }
        #expect(pools.map(\.stickiness) == [.pods])
    }

    @Test(
        arguments: [
            (
                "rbac/plugin.yaml",
                [
                    "ipam.berth.dev/ippools: get list", "ipam.berth.dev/ipreservations: list",
                    "ipam.berth.dev/ipblocks: list create patch delete",
                    "ipam.berth.dev/ipallocations: get list create update patch delete",
                    "ipam.berth.dev/ipclaims: get create", "ipam.berth.dev/ipclaims/status: patch",
                    "/pods,namespaces,nodes: get", "k8s.cni.cncf.io/ipamclaims: get",
                    "kubevirt.io/virtualmachineinstances: get",
                ]
            ),
            ("rbac/plugin_inline.yaml", ["ipam.berth.dev/ippools: create"]),
        ])
    func `the plugin's roles allow what it does, and no more`(file: String, expected: [String]) throws {
        func joined(_ json: JSON?, _ separator: String) -> String {
            (json?.array ?? []).compactMap(\.string).joined(separator: separator)
        }
        let roles = try ConfigFile.documents(file).filter { $0["kind"] == "ClusterRole" }
        let rules = roles.flatMap { $0["rules"]?.array ?? [] }
        #expect(
            rules.map { "\(joined($0["apiGroups"], ","))/\(joined($0["resources"], ",")): \(joined($0["verbs"], " "))" }
                == expected)
    }
}
