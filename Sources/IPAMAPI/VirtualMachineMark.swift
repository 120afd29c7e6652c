package import JSONText
package import KubernetesCore

/// The kinds and names of KubeVirt that Berth knows.
package enum KubeVirt {
    package static let group = "kubevirt.io"
    /// On the pod that a virtual machine migrates to, and on no other.
    package static let migrationLabel = "\(group)/migrationJobUID"
}

extension ResourceType {
    package static let virtualMachineInstances = ResourceType(
        group: KubeVirt.group, version: "v1", plural: "virtualmachineinstances", kind: "VirtualMachineInstance",
        isNamespaced: true)
}

extension OwnerReference {
    package var isVirtualMachine: Bool { isOfKubeVirt && kind == "VirtualMachine" }
    package var isVirtualMachineInstance: Bool { isOfKubeVirt && kind == "VirtualMachineInstance" }

    private var isOfKubeVirt: Bool { apiVersion.split(separator: "/").first.map(String.init) == KubeVirt.group }
}

/// What an allocation says of the virtual machine whose guest has the address, in annotations: which run of it that is,
/// and which pod the address was handed over from.
///
/// - Guarantees: it is of the holder, or, where there is none, of the last one. Whoever takes the allocation writes his own
///   or removes it.
package struct VirtualMachineMark: Hashable, Sendable {
    /// The UID of the VirtualMachineInstance, which all pods have in common that one guest migrates between.
    package var instanceUID: String
    /// The pod that had the address when the holder took it: the guest runs in one of both.
    package var migratedFrom: PodName?

    package init(instanceUID: String, migratedFrom: PodName? = nil) {
        self.instanceUID = instanceUID
        self.migratedFrom = migratedFrom
    }

    package init?(_ annotations: [String: String]) {
        guard let instanceUID = annotations[AnnotationKey.virtualMachineInstance], !instanceUID.isEmpty else {
            return nil
        }
        self.instanceUID = instanceUID
        migratedFrom = annotations[AnnotationKey.migratedFrom].flatMap { PodName(mark: $0) }
    }

    /// Nil: there must be no such annotation.
    package static func annotations(_ mark: VirtualMachineMark?) -> [(key: String, value: String?)] {
        [
            (AnnotationKey.virtualMachineInstance, mark?.instanceUID),
            (AnnotationKey.migratedFrom, mark?.migratedFrom?.mark),
        ]
    }
}

/// A pod of a namespace that is known from elsewhere.
package struct PodName: Hashable, Sendable {
    package var pod: String
    package var podUID: String

    package init(pod: String, podUID: String) {
        self.pod = pod
        self.podUID = podUID
    }

    /// Reads ``mark``.
    package init?(mark: String) {
        let parts = mark.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.init(pod: String(parts[0]), podUID: String(parts[1]))
    }

    /// Name and UID, neither of which has a slash.
    package var mark: String { "\(pod)/\(podUID)" }
}

extension PodName {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        self.init(pod: try fields.requiredString("pod"), podUID: try fields.requiredString("podUID"))
    }

    package var json: JSON { ["pod": .string(pod), "podUID": .string(podUID)] }
}

extension IPAllocation {
    /// Nil where no virtual machine has it, or had it last.
    package var virtualMachine: VirtualMachineMark? { VirtualMachineMark(metadata.annotations) }
}
