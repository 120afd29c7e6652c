package import IPAMAPI
package import KubernetesCore

/// The IPClaim that an interface of a pod gets its addresses by.
package enum ClaimDemand: Hashable, Sendable {
    /// Any address will do.
    case none
    /// The claim of this name in the pod's namespace, which somebody else makes.
    case named(String)
    /// The claim that is made for the pod unless it is there.
    case automatic(AutomaticClaim)
    /// The same, of the virtual machine whose guest the pod runs.
    case ofVirtualMachine(VirtualMachineDemand)
    /// The claim that stands for an IPAMClaim, to which the pod refers.
    case ofIPAMClaim(IPAMClaimDemand)
}

/// What of a pod's metadata cannot be obeyed.
package struct ClaimDemandProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

extension ClaimDemand {
    /// Decides by the pod's metadata and the pools that serve it.
    ///
    /// An annotation for the interface, or a reference to an IPAMClaim there, comes before one for the pod, and all before
    /// what pools say. Static pods have no claims: their metadata may be missing while they run.
    ///
    /// - Parameter identity: Nil for a container that is no pod of this cluster.
    package init(
        identity: PodReference?, isStatic: Bool, metadata: ObjectMetadata?, interface: String, networkName: String,
        pools: [ValidatedPool]
    ) throws(ClaimDemandProblem) {
        guard let identity, let metadata else {
            self = .none
            return
        }
        let reference = try IPAMClaimReference(metadata, of: identity, interface: interface)
        if let reference {
            let key = AnnotationKey.claim(interface: interface)
            guard metadata.annotations[key] == nil else {
                throw ClaimDemandProblem(
                    description:
                        "\(reference.place) refers to IPAMClaim \"\(reference.name)\", and annotation \(key) names"
                        + " an IPClaim: the interface can have one of both")
            }
            guard !isStatic else {
                throw ClaimDemandProblem(description: "\(reference.place): static pods have no IPAMClaims")
            }
            self = .ofIPAMClaim(
                IPAMClaimDemand(namespace: identity.namespace, reference: reference, networkName: networkName))
            return
        }
        for key in [AnnotationKey.claim(interface: interface), AnnotationKey.claim] {
            guard let name = metadata.annotations[key] else { continue }
            guard BerthAPI.isSubdomain(name) else {
                throw ClaimDemandProblem(
                    description: "annotation \(key) of pod \"\(identity.namespace)/\(identity.name)\":"
                        + " \(name.debugDescription) cannot be the name of an IPClaim")
            }
            guard !isStatic else {
                throw ClaimDemandProblem(
                    description: "annotation \(key): \"\(identity.namespace)/\(identity.name)\" is a static pod, and"
                        + " those have no IPClaims")
            }
            self = .named(name)
            return
        }
        guard !isStatic, try !Self.isTurnedOff(metadata, of: "pod \"\(identity.namespace)/\(identity.name)\"") else {
            self = .none
            return
        }
        let owner = metadata.ownerReferences.first { $0.isController && $0.isStatefulSet }
        let machine = VirtualMachinePod(metadata)
        let isSticky = pools.contains { pool in
            switch pool.stickiness {
            case .statefulSets: owner != nil || machine != nil
            case .pods: true
            case .none: false
            }
        }
        if !isSticky {
            self = .none
        } else if let machine {
            self = .ofVirtualMachine(
                VirtualMachineDemand(
                    namespace: identity.namespace, instance: machine.instance, interface: interface,
                    networkName: networkName))
        } else {
            self = .automatic(
                AutomaticClaim(pod: identity, interface: interface, networkName: networkName, owner: owner))
        }
    }

    /// Whether the annotations of a pod or namespace say that no claim is made by itself.
    package static func isTurnedOff(
        _ metadata: ObjectMetadata, of subject: String
    ) throws(ClaimDemandProblem) -> Bool {
        switch metadata.annotations[AnnotationKey.sticky] {
        case nil, "true": return false
        case "false": return true
        case let value?:
            throw ClaimDemandProblem(
                description: "annotation \(AnnotationKey.sticky) of \(subject): \(value.debugDescription) is neither"
                    + " true nor false")
        }
    }
}

extension OwnerReference {
    package var isStatefulSet: Bool {
        kind == "StatefulSet" && apiVersion.split(separator: "/").first.map(String.init) == "apps"
    }
}
