import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore

/// The pod that `explain` is about, as its claims depend on it.
struct ExplainedPod {
    var entry: PodEntry
    var metadata: ObjectMetadata
    /// Nil where it was not found.
    var namespace: JSON?
    var machineID: String?

    /// A mirror pod stands for a static one.
    var isStatic: Bool { metadata.annotations["kubernetes.io/config.mirror"] != nil }
    var reference: PodReference {
        PodReference(namespace: entry.key.namespace, name: entry.key.name, uid: metadata.uid)
    }
}

extension ClusterReader {
    /// The most allocations that are looked at for one claim, as in the plugin.
    private static var maximumKept: Int { 64 }

    /// The IPClaim that an ADD for one interface of a pod would be the holder of.
    ///
    /// - Parameter pools: Those that may serve it.
    func claim(of pod: ExplainedPod, _ source: NetworkSource, pools: [ValidatedPool]) throws -> ClaimFinding {
        let key = pod.entry.key
        let demand: ClaimDemand
        do throws(ClaimDemandProblem) {
            demand = try ClaimDemand(
                identity: pod.reference, isStatic: pod.isStatic, metadata: pod.metadata, interface: source.interface,
                networkName: source.network, pools: pools)
        } catch {
            return ClaimFinding(obstacle: "\(error)")
        }
        switch demand {
        case .none: return ClaimFinding(.none(because: Self.reasonForNone(pod, pools)))
        case .named(let name):
            let own = AnnotationKey.claim(interface: source.interface)
            let origin = ClaimFinding.Origin.named(
                annotation: pod.metadata.annotations[own] == nil ? AnnotationKey.claim : own)
            let named = PodKey(namespace: key.namespace, name: name)
            guard let claim = try claim(named) else {
                return ClaimFinding(
                    origin, key: named, obstacle: "IPClaim \"\(named)\", which pod \"\(key)\" names, does not exist")
            }
            if claim.isAutomatic, let object = claim.ipamClaim {
                return ClaimFinding(
                    origin, key: named, claim: claim,
                    obstacle: "\(claim.subject) stands for IPAMClaim \"\(object.name)\": refer to that in"
                        + " annotation \(IPAMClaimReference.annotation)")
            }
            return try finding(origin, claim, pod, source)
        case .ofVirtualMachine(let machine): return try claim(machine, of: pod, source)
        case .ofIPAMClaim(let demand): return try claim(demand, of: pod, source)
        case .automatic(let wanted):
            return try claim(wanted, of: pod, source)
        }
    }

    /// The claim that an ADD makes unless it is there.
    ///
    /// - Parameter wishes: What the interface must get beside what the claim says.
    func claim(
        _ wanted: AutomaticClaim, of pod: ExplainedPod, _ source: NetworkSource, wishes: [IPAddress] = []
    ) throws -> ClaimFinding {
        let key = pod.entry.key
        let reason =
            wanted.owner.map { "\($0.kind) \"\($0.name)\"" } ?? "every pod (spec.stickiness of its pools)"
        let origin = ClaimFinding.Origin.automatic(reason)
        // Without the network's name that of the claim is not known.
        let isNameKnown = !source.network.isEmpty
        let named = PodKey(namespace: key.namespace, name: isNameKnown ? wanted.name : "")
        let found = isNameKnown ? try claim(named) : try likelyClaim(wanted)
        guard let found else {
            guard !wanted.isAskedFor else { return ClaimFinding(origin, key: named, wishes: wishes) }
            let marks = pod.namespace.flatMap { try? ObjectMetadata(try JSONFields($0)) }
            let subject = "namespace \"\(key.namespace)\""
            do throws(ClaimDemandProblem) {
                guard let marks, try ClaimDemand.isTurnedOff(marks, of: subject) else {
                    return ClaimFinding(origin, key: named)
                }
            } catch {
                return ClaimFinding(origin, key: named, obstacle: "\(error)")
            }
            return ClaimFinding(.none(because: "annotation \(AnnotationKey.sticky) of \(subject) turns claims off"))
        }
        if let owner = found.earlierKeeper(than: wanted, VirtualMachinePod(pod.metadata)) {
            return ClaimFinding(
                origin, key: named, claim: found,
                obstacle:
                    "\(found.subject) belongs to an earlier \(owner.kind) \"\(owner.name)\", and is deleted with it")
        }
        var finding = try finding(origin, found, pod, source)
        finding.wishes = wishes
        return finding
    }

    /// Nil where nobody would expect a claim.
    private static func reasonForNone(_ pod: ExplainedPod, _ pools: [ValidatedPool]) -> String? {
        let owner = pod.metadata.ownerReferences.first {
            $0.isController && ($0.isStatefulSet || $0.isVirtualMachineInstance)
        }
        if pod.metadata.annotations[AnnotationKey.sticky] == "false" {
            return "annotation \(AnnotationKey.sticky) of the pod turns claims off"
        }
        if pod.isStatic { return "static pods have none" }
        guard let owner, let first = pools.first else { return nil }
        return "its pools turn claims off (spec.stickiness of IPPool \"\(first.name)\"), though the pod is one of"
            + " \(owner.kind) \"\(owner.name)\""
    }

    private func finding(
        _ origin: ClaimFinding.Origin, _ claim: IPClaim, _ pod: ExplainedPod, _ source: NetworkSource
    ) throws -> ClaimFinding {
        let kept = try kept(for: claim)
        let uids = [pod.metadata.uid, pod.metadata.annotations["kubernetes.io/config.hash"]]
        let standing = try standing(claim, pod, source)
        func isOwn(_ spec: IPAllocation.Spec) -> Bool {
            spec.attachment == nil || (uids + [standing.source?.podUID]).contains { $0 != nil && $0 == spec.pod?.uid }
        }
        var finding = ClaimFinding(
            origin, key: PodKey(namespace: claim.namespace, name: claim.metadata.name), claim: claim,
            kept: kept.filter(isOwn), occupied: kept.filter { !isOwn($0) }, obstacle: standing.obstacle)
        finding.migratesFrom = standing.source
        if finding.obstacle == nil, let other = finding.occupied.first {
            let holder = other.pod.map { "pod \($0.namespace)/\($0.name)" } ?? "a container"
            finding.obstacle =
                "\(other.address), which IPClaim \"\(finding.key)\" keeps, is not released yet: \(holder) on node"
                + " \(other.node) has it; the pod gets it then"
        }
        return finding
    }

    /// Why the pod cannot be the holder of the claim now, as the plugin decides it, or the pod that its guest comes from.
    private func standing(
        _ claim: IPClaim, _ pod: ExplainedPod, _ source: NetworkSource
    ) throws -> (obstacle: String?, source: PodName?) {
        let candidate = IPClaim.Holder(
            pod: pod.entry.key.name, podUID: pod.metadata.uid, interface: source.interface, attachment: "",
            node: pod.entry.node, machineID: pod.machineID ?? "")
        let machine = VirtualMachinePod(pod.metadata)
        var claim = claim
        // Where the network's name is not known it is not held against the pod.
        if source.network.isEmpty { claim.spec.networkName = "" }
        var (gone, sources): (Set<String>, Set<String>) = ([], [])
        while true {
            switch ClaimBinding(
                claim, candidate: candidate, networkName: source.network, machine: machine, gone: gone,
                sources: sources)
            {
            case .bound, .bind: return (nil, nil)
            case .handOver(let source): return (nil, source)
            case .wait(let text), .refuse(let text): return (text, nil)
            case .prove(let holder):
                let found = try read(.pods, namespace: claim.namespace, name: holder.pod)
                let metadata = try found.map { try ObjectMetadata(try JSONFields($0)) }
                let phase = found?["status"]?["phase"]?.string
                let claimed = claim.status.holder.flatMap { $0.podUID == holder.podUID ? $0.node : nil }
                let node = (found?["spec"]?["nodeName"]?.string, claimed)
                switch HolderSighting(holder, found: metadata, phase: phase, node: node, machine: machine) {
                case .gone:
                    if gone.insert(holder.podUID).inserted { continue }
                case .ofSameMachine where machine?.isMigrationTarget == true:
                    if sources.insert(holder.podUID).inserted { continue }
                case .ofSameMachine, .present: break
                }
                return (ClaimBinding.contention(claim, candidate), nil)
            }
        }
    }

    // MARK: Reading

    /// Nil where there is none, or the server does not know the kind.
    func claim(_ key: PodKey) throws -> IPClaim? {
        let json: JSON
        do throws(APIError) {
            json = try perform(.get(.ipClaims, namespace: key.namespace, name: key.name))
        } catch {
            guard error.isNotFound || error.isUnserved else { throw ConsoleError(error) }
            return nil
        }
        return try IPClaim(json)
    }

    private func likelyClaim(_ wanted: AutomaticClaim) throws -> IPClaim? {
        let claims = try claims(
            namespace: wanted.namespace, options: ListOptions(labelSelector: "\(LabelKey.automatic)=true"))
        return claims.filter { claim in
            guard claim.spec.pod == wanted.spec.pod, claim.spec.interface == wanted.spec.interface else { return false }
            return !claim.spec.pod.isEmpty || claim.keeper?.uid == wanted.owner?.uid
        }.min { $0.metadata.name < $1.metadata.name }
    }

    /// Those that can be read.
    func claims(namespace: String? = nil, options: ListOptions = ListOptions()) throws -> [IPClaim] {
        try list(.ipClaims, namespace: namespace, options: options) { try? IPClaim($0) }
    }

    /// What names the claim, by its UID.
    func kept(for claim: IPClaim) throws -> [IPAllocation.Spec] {
        let selector = "\(LabelKey.claim)=\(LabelValue.fitting(claim.metadata.uid))"
        let specs = try list(.ipAllocations, options: ListOptions(labelSelector: selector)) { json in
            (try? IPAllocation(json)).flatMap { $0.spec.claim?.uid == claim.metadata.uid ? $0.spec : nil }
        }
        return Array(specs.sorted { ($0.network, $0.address) < ($1.network, $1.address) }.prefix(Self.maximumKept))
    }

    /// Every block there is. None where the server does not know the kind, or shows it to others only.
    func blocks() throws -> [ValidatedBlock] {
        do throws(APIError) {
            return try perform(.list(.ipBlocks))["items"]?.array.map { items in
                items.compactMap { (try? IPBlock($0)).flatMap { try? ValidatedBlock($0) } }
            } ?? []
        } catch {
            guard error.isUnserved || error.isForbidden else { throw ConsoleError(error) }
            return []
        }
    }
}
