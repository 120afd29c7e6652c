import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimRetentionTests {
    private func kept(
        _ text: String, _ state: AllocationState = .held, version: String = "1", digest: String? = nil
    ) throws -> ClaimRetention.Kept {
        ClaimRetention.Kept(
            try record(text, state: state).with {
                $0.claim = ipClaim().reference
                $0.attachmentDigest = digest
            }, version: version)
    }

    private static let twoHours = IPClaim.Spec(retention: IPClaim.Retention(.period, seconds: 7200))

    @Test func `what is kept for a time is freed after it, counted anew in every version`() throws {
        var retention = ClaimRetention()
        let claim = ipClaim(spec: Self.twoHours)
        var answer = retention.observe(claim, [try kept("10.0.0.1")], now: .seconds(100))
        #expect(answer.expired.isEmpty && answer.next == .seconds(7300))
        answer = retention.observe(claim, [try kept("10.0.0.1", version: "2")], now: .seconds(7000))
        #expect(answer.expired.isEmpty && answer.next == .seconds(14200))
        answer = retention.observe(claim, [try kept("10.0.0.1", version: "2")], now: .seconds(14199))
        #expect(answer.expired.isEmpty)
        answer = retention.observe(claim, [try kept("10.0.0.1", version: "2")], now: .seconds(14200))
        #expect(answer.expired == ["10.0.0.1"] && answer.next == nil)
    }

    @Test func `what is kept until the claim ends, what it asks for, and what is in use is never freed`() throws {
        var retention = ClaimRetention()
        for policy in [RetentionPolicy.untilClaimDeleted, .untilOwnerDeleted] {
            let claim = ipClaim(spec: IPClaim.Spec(retention: IPClaim.Retention(policy)))
            #expect(retention.observe(claim, [try kept("10.0.0.1")], now: .seconds(1)) == ([], nil))
            #expect(retention.observe(claim, [try kept("10.0.0.1")], now: .seconds(1_000_000)) == ([], nil))
        }
        var spec = Self.twoHours
        spec.addresses = ["10.0.0.1"]
        let allocations = [
            try kept("10.0.0.1"), try kept("10.0.0.2", .bound, digest: "x"), try kept("10.0.0.3", .cooling),
        ]
        for second in [1, 1_000_000] as [Int64] {
            #expect(retention.observe(ipClaim(spec: spec), allocations, now: .seconds(second)) == ([], nil))
        }
    }

    @Test func `what the holder left beside what it took is freed a minute after that, whatever the retention`() throws
    {
        var retention = ClaimRetention()
        let held = ipClaim(holder: claimHolder(attachment: "a1"))
        let allocations = [try kept("10.0.0.1"), try kept("10.0.1.1", .bound, digest: "a1")]
        #expect(retention.observe(ipClaim(), [try kept("10.0.0.1")], now: .seconds(1)) == ([], nil))
        #expect(retention.observe(held, allocations, now: .seconds(1000)) == ([], .seconds(1240)))
        // Another attachment of the pod: its ADD may still take it.
        let next = ipClaim(holder: claimHolder(attachment: "a2"))
        #expect(retention.observe(next, allocations, now: .seconds(1239)) == ([], nil))
        #expect(retention.observe(held, allocations, now: .seconds(1241)) == ([], .seconds(1481)))
        #expect(retention.observe(held, allocations, now: .seconds(1481)) == (["10.0.0.1"], nil))
    }

    @Test func `an automatic claim that has lost its owner ends like one that never had one`() throws {
        let set = OwnerReference(apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "s1")
        let day = AutomaticClaim.secondsWithoutOwner
        for policy in RetentionPolicy.allCases where policy != .period {
            for owner in [nil, set] {
                for isAutomatic in [true, false] {
                    let spec = IPClaim.Spec(retention: IPClaim.Retention(policy), pod: "web-0")
                    let claim = ipClaim(spec: spec, owner: owner, isAutomatic: isAutomatic)
                    let isOrphaned = policy == .untilOwnerDeleted && owner == nil && isAutomatic
                    #expect(claim.isOrphaned == isOrphaned)
                    #expect(claim.secondsUnused == (isOrphaned ? day : nil))
                    var retention = ClaimRetention()
                    #expect(retention.observe(claim, [try kept("10.0.0.1")], now: .seconds(0)).expired.isEmpty)
                    let later = retention.observe(claim, [try kept("10.0.0.1")], now: .seconds(Int64(day)))
                    #expect(later.expired == (isOrphaned ? ["10.0.0.1"] : []))
                }
            }
        }
    }
}

@Suite struct ClaimOwnershipTests {
    private static let owner = OwnerReference(apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "s1")

    private func ownership(
        _ pod: String, _ set: StatefulSetMark?, policy: RetentionPolicy = .untilOwnerDeleted
    ) -> ClaimOwnership {
        ClaimOwnership(
            ipClaim(spec: IPClaim.Spec(retention: IPClaim.Retention(policy), pod: pod), owner: Self.owner), set: set)
    }

    @Test func `a claim goes with its set, or when its ordinal is out of range`() {
        let three = StatefulSetMark(uid: "s1", replicas: 3)
        #expect(ownership("web-2", three) == .wanted)
        #expect(ownership("web-3", three) == .scaledBelow)
        #expect(ownership("web-0", StatefulSetMark(uid: "s1", replicas: 0)) == .scaledBelow)
        #expect(ownership("web-2", nil) == .ownerGone)
        #expect(ownership("web-2", StatefulSetMark(uid: "s2", replicas: 3)) == .ownerGone)
        let later = StatefulSetMark(uid: "s1", replicas: 2, firstOrdinal: 5)
        #expect(ownership("web-4", later) == .scaledBelow)
        #expect(ownership("web-6", later) == .wanted)
        #expect(ownership("web-7", later) == .scaledBelow)
    }

    @Test func `what is no ordinal of the set, or outlives it, is wanted`() {
        let none = StatefulSetMark(uid: "s1", replicas: 0)
        for pod in ["", "web", "web-", "web-x", "other-0", "web-1a"] { #expect(ownership(pod, none) == .wanted) }
        #expect(ownership("web-9", nil, policy: .untilClaimDeleted) == .wanted)
    }
}
