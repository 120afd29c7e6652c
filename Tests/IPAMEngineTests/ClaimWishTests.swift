import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimWishTests {
    @Test func `a claim and its pod may name one purpose, or one of both`() {
        let claim = ipClaim(spec: IPClaim.Spec(purpose: "egress"))
        #expect(ClaimPurpose(ipClaim(), named: nil) == .asPod)
        #expect(ClaimPurpose(ipClaim(), named: "dns") == .asPod)
        #expect(ClaimPurpose(claim, named: "egress") == .asPod)
        #expect(ClaimPurpose(claim, named: nil) == .instead("egress"))
        #expect(
            ClaimPurpose(claim, named: "dns")
                == .conflict(
                    "IPClaim \"shop/vip\" is for the purpose \"egress\" (spec.purpose), and annotation"
                        + " ipam.berth.dev/purpose of the pod names \"dns\""))
    }

    @Test func `pools that select namespaces by labels give to no claim of another one, as far as labels are known`()
        throws
    {
        let selecting = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "uid-blue", generation: 3),
                spec: IPPool.Spec(
                    subnet: "10.0.0.0/24",
                    selection: IPPool.Selection(namespaceSelector: LabelSelector(matchLabels: ["team": "a"])))))
        let wanted = try address("10.0.0.9")
        func wish(_ labels: [String: String]?) -> ClaimWish {
            ClaimWish(wanted, of: ipClaim(), pools: [selecting], namespaceLabels: labels)
        }
        #expect(wish(["team": "a"]) == .from(selecting))
        #expect(wish(nil) == .from(selecting))
        for labels in [[:], ["team": "b"]] {
            guard case .refused(let problem) = wish(labels) else {
                Issue.record("\(labels)")
                continue
            }
            #expect(
                problem.contains("is for namespaces with team=a (spec.namespaceSelector), not for \"shop\""),
                "\(problem)")
        }
        #expect(ClaimWish.looksAtNamespace(wanted, of: ipClaim(), pools: [selecting]))
        #expect(!ClaimWish.looksAtNamespace(try address("10.0.1.9"), of: ipClaim(), pools: [selecting]))
        let elsewhere = ipClaim(spec: IPClaim.Spec(pools: ["red"]))
        #expect(!ClaimWish.looksAtNamespace(wanted, of: elsewhere, pools: [selecting]))
    }

    @Test func `what is kept stays in its pool while that gives it, and is the next one's then`() throws {
        let (first, second) = (try pool("10.0.0.0/24", named: "a"), try pool("10.0.0.0/25", named: "b"))
        let closed = try pool("10.0.0.0/24", named: "a", disabled: true)
        let wanted = try address("10.0.0.9")
        let kept = AllocationRecord(.init(address: wanted, state: .held, pool: "b"))
        #expect(ClaimWish(wanted, of: ipClaim(), pools: [first, second]) == .from(first))
        #expect(ClaimWish(wanted, of: ipClaim(), kept: kept, pools: [first, second]) == .from(second))
        let named = ipClaim(spec: IPClaim.Spec(pools: ["a"]))
        #expect(ClaimWish(wanted, of: named, kept: kept, pools: [first, second]) == .from(first))
        let earlier = AllocationRecord(.init(address: wanted, state: .held, pool: "a"))
        #expect(ClaimWish(wanted, of: ipClaim(), kept: earlier, pools: [closed, second]) == .from(second))
        let red = try pool("10.0.0.0/24", named: "red", network: "red")
        for pools in [[closed], [closed, red]] {
            guard case .refused = ClaimWish(wanted, of: ipClaim(), kept: earlier, pools: pools) else {
                Issue.record("a pool that is disabled gives nothing, and another wire has another address")
                return
            }
        }
        let elsewhere = ipClaim(spec: IPClaim.Spec(pools: ["red"]))
        #expect(ClaimWish(wanted, of: elsewhere, kept: earlier, pools: [closed, red]) == .from(red))
    }

    @Test(arguments: NodeBlocks.ResultPrefix.allCases)
    func `what a block never gives is kept for no claim`(prefix: NodeBlocks.ResultPrefix) throws {
        let sliced = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "uid-blue", generation: 3),
                spec: IPPool.Spec(
                    subnet: "10.0.0.0/24",
                    nodeBlocks: NodeBlocks(prefixLength: 26, resultPrefix: prefix, gateway: .firstAddress))))
        func isGiven(_ text: String, _ blocks: [ValidatedBlock] = []) throws -> Bool {
            switch ClaimWish(try address(text), of: ipClaim(), pools: [sliced], blocks: blocks) {
            case .from: return true
            case .refused(let problem):
                #expect(problem.contains("belongs to the block 10.0.0."), "\(problem)")
                return false
            }
        }
        #expect(try !isGiven("10.0.0.65"))
        #expect(try isGiven("10.0.0.66"))
        #expect(try isGiven("10.0.0.63") == (prefix == .subnet))
        // One that was made by hand is of another length.
        let wide = ValidatedBlock(try IPPrefix(parsing: "10.0.0.0/25"), of: sliced, node: "n1", machineID: "")
        #expect(try isGiven("10.0.0.65", [wide]) && isGiven("10.0.0.63", [wide]))
    }

    @Test func `an address comes from a pool that has it, by name where networks differ`() throws {
        let blue = try pool("10.0.0.0/24", named: "blue")
        let red = try pool("10.0.0.0/24", named: "red", network: "red")
        let closed = try pool("10.0.1.0/24", named: "closed", disabled: true)
        let wanted = try address("10.0.0.9")
        #expect(ClaimWish(wanted, of: ipClaim(), pools: [blue, closed]) == .from(blue))
        let named = ipClaim(spec: IPClaim.Spec(pools: ["red"]))
        #expect(ClaimWish(wanted, of: named, pools: [blue, red]) == .from(red))
        for (claim, pools, text) in [
            (ipClaim(), [blue, red], "several networks"), (ipClaim(), [closed], "no IPPool has it"),
            (ipClaim(spec: IPClaim.Spec(pools: ["gone"])), [blue], "does not exist"),
        ] {
            guard case .refused(let problem) = ClaimWish(wanted, of: claim, pools: pools) else {
                Issue.record("\(text)")
                continue
            }
            #expect(problem.contains(text), "\(problem)")
        }
    }
}
