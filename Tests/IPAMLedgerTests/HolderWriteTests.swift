import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

/// What becomes of the binding of a claim, and of the query beside it.
@Suite struct HolderWriteTests {
    private static let pod = PodReference(namespace: "shop", name: "web-0", uid: "p1")
    private static let mine = claimant.holder(pod)
    private static let address = "10.0.0.9"

    private static func holder(_ pod: String = "web-0", uid: String = "p1", attachment: String = "a9") -> IPClaim.Holder
    {
        IPClaim.Holder(
            pod: pod, podUID: uid, interface: "eth0", attachment: attachment, node: "n2", machineID: "m2")
    }

    private static func claim(
        _ holder: IPClaim.Holder? = nil, version: String = "7", uid: String = "claim-1", addresses: [String] = [],
        isAutomatic: Bool = true
    ) -> IPClaim {
        IPClaim(
            metadata: ObjectMetadata(
                name: "web", namespace: "shop", uid: uid, resourceVersion: version,
                labels: isAutomatic ? [LabelKey.automatic: "true"] : [:]),
            spec: IPClaim.Spec(), status: IPClaim.Status(holder: holder, addresses: addresses))
    }

    private func write(_ claim: IPClaim = Self.claim(), gone: Set<String> = [], isFirst: Bool = false) -> HolderWrite {
        HolderWrite(claim, candidate: Self.mine, networkName: "net", gone: gone, isFirst: isFirst)
    }

    /// Asks for the next request and answers it, over pauses.
    private func answer(
        _ write: inout HolderWrite, _ verb: APIRequest.Subject.Verb, _ answer: Result<JSON, APIError>
    ) throws {
        while true {
            switch write.next(remaining: .seconds(8)) {
            case .send(let request):
                #expect(request.subject.verb == verb)
                return write.receive(answer, wasSentTwice: false)
            case .pause: continue
            case .finished:
                Issue.record("no \(verb) was sent: \(String(describing: write.ending))")
                return
            }
        }
    }

    private func failure(_ answer: Answer) throws -> Result<JSON, APIError> {
        try answer.result(
            for: .patch(.ipClaims, namespace: "shop", name: "web", patch: .merge([:]), subresource: "status"))
    }

    private static func isBound(_ ending: HolderWrite.Ending?) -> Bool {
        if case .bound = ending { true } else { false }
    }

    @Test func `the holder is written on condition of the version that was read`() throws {
        var write = write()
        guard case .send(let request) = write.next(remaining: .seconds(8)) else {
            Issue.record("nothing is sent")
            return
        }
        let body = try JSON(parsing: try #require(request.body))
        #expect(body["metadata"]?["resourceVersion"]?.string == "7" && body["metadata"]?["uid"]?.string == "claim-1")
        #expect(body["status"]?["holder"] == Self.mine.json)
        #expect(write.ending == nil)
        write.receive(.success(Self.claim(Self.mine, version: "8").versionObject), wasSentTwice: false)
        #expect(Self.isBound(write.ending) && write.wasUndisturbed && !write.hasInherited)
        #expect(write.failure == nil)
        #expect(write.claim == Self.claim(), "as it was read, labels and all")
    }

    @Test func `to overrule a namesake is to inherit, and to overrule another sandbox of the pod is not`() throws {
        var later = write(Self.claim(Self.holder(uid: "p0")))
        try answer(&later, .patch, .success([:]))
        #expect(later.hasInherited && later.wasUndisturbed)
        var same = write(Self.claim(Self.holder()))
        try answer(&same, .patch, .success([:]))
        #expect(!same.hasInherited)
    }

    @Test func `after a conflict what was read beside the first write proves nothing`() throws {
        var write = write(Self.claim(Self.holder(uid: "p0")))
        try answer(&write, .patch, try failure(.conflict))
        try answer(&write, .get, .success(Self.claim(Self.holder(uid: "p2"), version: "8").versionObject))
        try answer(&write, .patch, .success([:]))
        #expect(write.hasInherited && !write.wasUndisturbed)
        #expect(write.claim.status.holder?.podUID == "p2")
    }

    @Test func `an answer that never came is settled by a read`() throws {
        var write = write(Self.claim(Self.holder(uid: "p0")))
        try answer(&write, .patch, try failure(.timeout))
        try answer(&write, .get, .success(Self.claim(Self.mine, version: "8").versionObject))
        #expect(Self.isBound(write.ending) && write.hasInherited && !write.wasUndisturbed)
    }

    @Test func `a pod of another name gives way when it is proved to be gone`() throws {
        let other = Self.holder("db-0", uid: "p0")
        guard case .needsProof(let holder) = write(Self.claim(other)).ending else {
            Issue.record("it was not to be proved")
            return
        }
        #expect(holder == other.podName)
        var proved = write(Self.claim(other), gone: ["p0"])
        try answer(&proved, .patch, .success([:]))
        #expect(Self.isBound(proved.ending) && !proved.hasInherited)
    }

    // MARK: Virtual machines

    private static let instance = OwnerReference(
        apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", name: "vm1", uid: "v1", isController: true)
    private static let target = VirtualMachinePod(instance: instance, isMigrationTarget: true)

    @Test func `the pod that a guest runs in hands over when it is proved to be there, and is named as the source`()
        throws
    {
        let source = Self.holder("launcher-a", uid: "p0")
        func write(_ sources: Set<String>) -> HolderWrite {
            HolderWrite(
                Self.claim(source), candidate: Self.mine, networkName: "net", machine: Self.target, sources: sources)
        }
        guard case .needsProof(let pod) = write([]).ending else {
            Issue.record("it was not to be proved")
            return
        }
        #expect(pod == source.podName)
        var proved = write(["p0"])
        guard case .send(let request) = proved.next(remaining: .seconds(8)) else {
            Issue.record("nothing was sent")
            return
        }
        let body = try JSON(parsing: try #require(request.body))
        #expect(body["status"]?["holder"]?["migratedFrom"] == source.podName.json)
        proved.receive(.success([:]), wasSentTwice: false)
        #expect(Self.isBound(proved.ending) && proved.source == source.podName && !proved.hasInherited)
    }

    @Test func `who is the holder already has the source that the claim names, and a successor has none`() throws {
        var mine = Self.mine
        mine.migratedFrom = PodName(pod: "launcher-a", podUID: "p0")
        let again = HolderWrite(Self.claim(mine), candidate: Self.mine, networkName: "net", machine: Self.target)
        #expect(Self.isBound(again.ending) && again.source == mine.migratedFrom)
        var former = Self.holder("launcher-b", uid: "p9")
        former.migratedFrom = mine.migratedFrom
        var next = HolderWrite(
            Self.claim(former), candidate: Self.mine, networkName: "net", machine: Self.target, gone: ["p0", "p9"])
        guard case .send(let request) = next.next(remaining: .seconds(8)) else {
            Issue.record("nothing was sent")
            return
        }
        let body = try JSON(parsing: try #require(request.body))
        #expect(body["status"]?["holder"]?["migratedFrom"] == .null)
        next.receive(.success([:]), wasSentTwice: false)
        #expect(Self.isBound(next.ending) && next.source == nil)
    }

    @Test func `the write knows by the claim's labels and owners for whom it was made`() {
        var claim = Self.claim()
        claim.metadata.ownerReferences = [Self.instance]
        let mine = HolderWrite(claim, candidate: Self.mine, networkName: "net", machine: Self.target)
        #expect(mine.failure == nil)
        var write = HolderWrite(claim, candidate: Self.mine, networkName: "net")
        _ = write.next(remaining: .seconds(8))
        guard case .addressRefused(let text)? = write.failure else {
            Issue.record("\(String(describing: write.ending))")
            return
        }
        #expect(text.contains("VirtualMachineInstance \"vm1\""))
    }

    // MARK: The first binding

    @Test func `a claim that was just made is bound although the controller wrote to it meanwhile`() throws {
        var write = write(isFirst: true)
        try answer(&write, .patch, try failure(.conflict))
        try answer(&write, .get, .success(Self.claim(version: "8").versionObject))
        try answer(&write, .patch, .success([:]))
        #expect(Self.isBound(write.ending))
    }

    @Test(arguments: [holder(), holder(uid: "p2"), holder("db-0", uid: "p3")])
    func `who was bound to a claim that was just made is not overruled`(other: IPClaim.Holder) throws {
        var write = write(isFirst: true)
        try answer(&write, .patch, try failure(.conflict))
        try answer(&write, .get, .success(Self.claim(other, version: "8").versionObject))
        guard case .claimBusy(let text)? = write.failure else {
            Issue.record("\(String(describing: write.ending))")
            return
        }
        #expect(text.contains(other.podUID) && text.contains("as soon as it was made"))
    }

    @Test func `a first binding whose answer never came is its own`() throws {
        var write = write(isFirst: true)
        try answer(&write, .patch, try failure(.timeout))
        try answer(&write, .get, .success(Self.claim(Self.mine, version: "8").versionObject))
        #expect(Self.isBound(write.ending) && write.failure == nil)
    }

    @Test func `a claim that may not be written is not bound`() throws {
        var write = write(isFirst: true)
        try answer(&write, .patch, try failure(.forbidden))
        #expect(write.failure != nil)
    }

    // MARK: The query

    private func query(_ claim: IPClaim, exact: String? = nil, holds claimed: Bool = true) throws -> KeptQuery {
        var holder = claimant
        holder.claim = claimed ? claim.reference : nil
        let plan = SlotPlan(
            pools: [try pool("10.0.0.0/28"), try pool("10.0.0.0/29", named: "green", network: "wire")],
            exact: try exact.map { try IPAMLedgerTests.address($0) })
        return KeptQuery(claim, [ClaimSlot(plan, claimant: holder, claimedAt: "")])
    }

    @Test func `what the status names is read by name, as far as the slots can give it`() throws {
        let claim = Self.claim(Self.holder(), addresses: ["10.0.0.9", "10.0.0.3", "192.0.2.1", "nonsense"])
        let query = try query(claim)
        #expect(query.names == ["10.0.0.9", "10.0.0.3", "wire.10.0.0.3"])
        #expect(!query.isList && query.mayFindMore && query.requests.count == 3)
    }

    @Test func `where the status names nothing a list tells, unless the claim never had a holder`() throws {
        #expect(try query(Self.claim(Self.holder())).isList)
        // Its maker may have been killed when it had taken addresses and was not the holder yet.
        #expect(try query(Self.claim()).isList)
        let unused = try query(Self.claim(isAutomatic: false))
        #expect(!unused.isList && !unused.mayFindMore && unused.requests.isEmpty)
        #expect(try query(Self.claim(Self.holder(), isAutomatic: false)).isList)
        // A controller has seen that nothing is: one list is enough, and comes after the binding.
        var seen = Self.claim(Self.holder())
        seen.status.observedGeneration = 1
        let empty = try query(seen)
        #expect(!empty.isList && empty.mayFindMore && empty.requests.isEmpty)
        // What it names nobody can use here, but something else may be kept.
        let elsewhere = try query(Self.claim(Self.holder(), addresses: ["192.0.2.1"]))
        #expect(!elsewhere.isList && elsewhere.mayFindMore && elsewhere.requests.isEmpty)
    }

    @Test func `an exact address is read by its name, and nothing is listed`() throws {
        let query = try query(Self.claim(Self.holder()), exact: "10.0.0.9")
        #expect(query.names == ["10.0.0.9"] && !query.isList && !query.mayFindMore)
        let fixed = try self.query(Self.claim(Self.holder()), exact: "10.0.0.9", holds: false)
        #expect(fixed.requests.isEmpty, "the configuration's own addresses are no claim's")
    }
}
