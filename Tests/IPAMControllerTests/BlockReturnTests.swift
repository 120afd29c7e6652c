import IPAMAPI
import IPAMController
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// Blocks that are empty go back to their pools.
    @Suite("Returning blocks") struct BlockReturnTests {
        /// Long enough for a test to do something meanwhile.
        private static let delay: Duration = .seconds(2)

        @Test func `C6: a removed node's block comes back once its allocations are gone, and not before`() async throws
        {
            try await ControllerRig.run(settings: { $0.blockReturnDelay = Self.delay }) { rig in
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                let node = try await rig.makeNode()
                let used = try await rig.claimBlock("\(rig.subnets.address4(0))/25", of: pool, node: node)
                let empty = try await rig.claimBlock("\(rig.subnets.address4(128))/25", of: pool, node: node)
                let pod = try await rig.makePod("web", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                try await rig.ledger.waitForPool(pool, "has no free block") {
                    condition($0, "BlocksExhausted")?["status"] == "True"
                }
                // Of the two only the empty one is returned.
                try await rig.ledger.waitForBlock(empty, "is returned") { $0 == nil }
                #expect(rig.ledger.blocks.value[used]?["spec"]?["state"] == "Active")
                try await rig.ledger.waitForPool(pool, "has a free block") {
                    condition($0, "BlocksExhausted")?["status"] == "False"
                }
                try await rig.controlPlane.delete(pod)
                try await rig.deleteNode(node)
                try await rig.ledger.waitUntilGone(name)
                try await rig.ledger.waitForBlock(used, "is Releasing") { $0?["spec"]?["state"] != "Active" }
                try await rig.ledger.waitForBlock(used, "is returned") { $0 == nil }
            }
        }

        @Test func `C4: a block that is Releasing is kept when somebody has claimed in it, whoever leads`() async throws
        {
            try await ControllerRig.idle { rig in
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                let name = try await rig.claimBlock("\(rig.subnets.address4(0))/25", of: pool, node: "n1")
                try await rig.withController(settings: { $0.blockReturnDelay = Self.delay }) { _ in
                    try await rig.ledger.waitForBlock(name, "is Releasing") { $0?["spec"]?["state"] == "Releasing" }
                    try await rig.enter(20, pool: pool, node: "n1", origin: .manual)
                    try await rig.ledger.waitForBlock(name, "is Active again") { $0?["spec"]?["state"] == "Active" }
                }
                // Another one leads.
                try await rig.withController(settings: { $0.blockReturnDelay = Self.delay }) { _ in
                    let empty = try await rig.claimBlock("\(rig.subnets.address4(128))/25", of: pool, node: "n2")
                    try await rig.ledger.waitForBlock(empty, "is returned") { $0 == nil }
                    #expect(rig.ledger.blocks.value[name]?["spec"]?["state"] == "Active")
                }
            }
        }

        @Test func `a block that no node makes of the pool is returned, whatever other nodes have in it`() async throws
        {
            try await ControllerRig.run(settings: { $0.blockReturnDelay = Self.delay }) { rig in
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                let regular = try await rig.claimBlock("\(rig.subnets.address4(0))/25", of: pool, node: "n1")
                let name = try await rig.enter(10, pool: pool, node: "n1", origin: .manual)
                let own = try await rig.enter(200, pool: pool, node: "n2", origin: .manual)
                let narrow = try await rig.claimBlock("\(rig.subnets.address4(192))/26", of: pool, node: "n2")
                for wide in ["\(rig.subnets.subnet4)", "0.0.0.0/0"] {
                    let block = try await rig.claimBlock(wide, of: pool, node: "evil")
                    try await rig.ledger.waitForBlock(block, "is deleted") { $0 == nil }
                }
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Bound")
                #expect(rig.ledger.blocks.value[regular]?["spec"]?["state"] == "Active")
                #expect(rig.ledger.blocks.value[narrow] != nil, "its node has \(own) in it")
            }
        }

        @Test func `the blocks of a pool that is made anew under its name go at once`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                let byHand = try await rig.claimBlock(
                    "\(rig.subnets.address4(128))/25", of: pool, node: "n2", machineID: "")
                let uid = try await rig.poolUID(pool)
                let old = try await rig.claimBlock(
                    "\(rig.subnets.address4(0))/25", of: pool, poolUID: uid, node: "n1")
                try await rig.ledger.waitForPool(pool, "has its finalizer") {
                    $0["metadata"]?["finalizers"]?.array?.isEmpty == false
                }
                try await rig.controlPlane.kubectl(["delete", "ippool", pool])
                try await rig.ledger.waitForBlock(old, "is deleted") { $0 == nil }
                _ = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.blocks.value[byHand] != nil)
            }
        }

        @Test func `C6: a node that comes back takes its Releasing block back, and keeps it`() async throws {
            try await ControllerRig.run(settings: { $0.blockReturnDelay = .seconds(2) }) { rig in
                let pool = try await rig.makePool(
                    "sliced",
                    ["nodeBlocks": ["prefixLength": 25], "exclude": [.string("\(rig.subnets.address4(128))/25")]])
                try await rig.ledger.waitForPool(pool, "is compiled") { $0["status"]?["reservedGeneration"]?.int == 1 }
                try await withTestNode(rig.controlPlane, settings: ["timeoutSeconds": 60]) { node in
                    let configuration = node.configuration(pools: [pool])
                    let sandbox = try node.newSandbox()
                    let added = try await node.add(sandbox, configuration).checked()
                    let name = "\(rig.subnets.address4(0))-25"
                    try await node.del(sandbox, configuration, previous: added).checked()
                    try await rig.ledger.waitForBlock(name, "is Releasing") { $0?["spec"]?["state"] == "Releasing" }
                    try Files.removeTree("\(node.journal)/pools")
                    try Files.makeFolder("\(node.journal)/pools")
                    _ = try await node.add(try node.newSandbox(), configuration).checked()
                    try await rig.ledger.waitForBlock(name, "is Active") { $0?["spec"]?["state"] == "Active" }
                }
            }
        }

        @Test func `C4: kubectl apply refuses a block by hand that overlaps, with the names of both`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 26]])
                let claimed = try await rig.claimBlock("\(rig.subnets.address4(64))/26", of: pool, node: "n1")
                try await rig.enter(70, pool: pool, node: "n1", origin: .manual)
                try await rig.ledger.waitForPool(pool, "is counted") { object in
                    object["status"]?["allocated"]?.int == 1 && condition(object, "BlocksExhausted") != nil
                }
                func apply(_ cidr: String) async throws -> ProcessOutcome {
                    let spec = IPBlock.Spec(pool: pool, cidr: cidr, node: "n2")
                    let name = IPBlock.objectName(network: "", try IPPrefix(parsing: cidr))
                    return try await admission.kubectl(
                        ["apply", "--validate=false", "-f", "-"],
                        stdin: [
                            "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPBlock",
                            "metadata": ["name": .string(name)], "spec": spec.json,
                        ])
                }
                let wide = "\(rig.subnets.address4(0))/25"
                let refused = try await apply(wide)
                #expect(!refused.succeeded)
                #expect(refused.errorText.contains("overlaps IPBlock \"\(claimed)\" of node \"n1\""), "\(refused)")
                #expect(refused.errorText.contains("IPBlock \"\(rig.subnets.address4(0))-25\""), "\(refused)")
                let taken = try await apply("\(rig.subnets.address4(128))/25")
                #expect(taken.succeeded, "\(taken)")
                // What is in the blocks keeps their size.
                let resized = try await admission.kubectl(
                    [
                        "patch", "ippool", pool, "--type=merge", "-p",
                        #"{"spec": {"nodeBlocks": {"prefixLength": 27}}}"#,
                    ])
                #expect(!resized.succeeded)
                #expect(resized.errorText.contains("spec.nodeBlocks.prefixLength: immutable"), "\(resized)")
            }
        }

        @Test func `C7: a block by hand gets the labels that nodes look for, and stays though it is empty`()
            async throws
        {
            try await ControllerRig.run(settings: { $0.blockReturnDelay = Self.delay }) { rig in
                let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                let byHand = try await rig.claimBlock(
                    "\(rig.subnets.address4(0))/25", of: pool, node: "n1", machineID: "", labels: false)
                try await rig.ledger.waitForBlock(byHand, "is labelled") {
                    $0?["metadata"]?["labels"]?[LabelKey.node] == "n1"
                }
                let claimed = try await rig.claimBlock("\(rig.subnets.address4(128))/25", of: pool, node: "n2")
                try await rig.ledger.waitForBlock(claimed, "is returned") { $0 == nil }
                #expect(rig.ledger.blocks.value[byHand]?["spec"]?["state"] == "Active")
            }
        }
    }
}

extension ControllerRig {
    fileprivate func poolUID(_ name: String) async throws -> String {
        try await controlPlane.withAdmin { try $0.get(.ipPools, name: name, deadline: .soon) }["metadata"]?["uid"]?
            .string ?? ""
    }

    fileprivate func claimBlock(
        _ cidr: String, of pool: String, poolUID: String = "", node: String, machineID: String = "m",
        labels: Bool = true
    ) async throws -> String {
        let spec = IPBlock.Spec(pool: pool, poolUID: poolUID, cidr: cidr, node: node, machineID: machineID)
        let name = IPBlock.objectName(network: "", try IPPrefix(parsing: cidr))
        var object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPBlock", "metadata": ["name": .string(name)],
            "spec": spec.json,
        ]
        if labels {
            var json: JSON = [:]
            for (key, value) in spec.labels { json[key] = .string(value) }
            object["metadata"]?["labels"] = json
        }
        let made = object
        try await ledger.waitUntilSeen(
            try await controlPlane.withAdmin { try $0.create(.ipBlocks, name: name, object: made, deadline: .soon) })
        return name
    }
}

extension ObservedLedger {
    fileprivate func waitForBlock(
        _ name: String, _ what: String, _ isRight: @escaping @Sendable (JSON?) -> Bool
    ) async throws {
        _ = try await blocks.wait(for: "\(name): \(what)", within: .seconds(120)) { blocks -> Bool? in
            isRight(blocks[name]) ? true : nil
        }
    }
}
