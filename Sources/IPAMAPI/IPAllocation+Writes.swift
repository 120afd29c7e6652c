package import JSONText
import KubernetesCore

extension IPAllocation.Spec {
    /// The object to create.
    ///
    /// - Parameter boot: In which its holder is given it.
    package func newObject(of machine: VirtualMachineMark? = nil, boot: String? = nil) -> JSON {
        var labels: JSON = [:]
        for (key, value) in self.labels { labels[key] = value.map { .string($0) } }
        var metadata: JSON = ["name": .string(objectName), "labels": labels]
        for case (let key, let value?) in IPAllocation.holderAnnotations(self, machine, boot) {
            if metadata["annotations"] == nil { metadata["annotations"] = [:] }
            metadata["annotations"]?[key] = .string(value)
        }
        return [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPAllocation", "metadata": metadata, "spec": json,
        ]
    }
}

extension IPAllocation {
    /// What a release leaves an address in.
    package enum ReleasedState: Hashable, Sendable {
        case cooling
        /// Kept for its claim.
        case held

        package var state: AllocationState {
            switch self {
            case .cooling: .cooling
            case .held: .held
            }
        }
    }

    /// The merge patch that takes the address from its holder, on condition of the version that was read.
    package func released(at time: String, to state: ReleasedState = .cooling) -> JSON {
        Self.releasePatch(
            at: time, to: state, uid: metadata.uid, resourceVersion: metadata.resourceVersion)
    }

    /// The merge patch (RFC 7386) that takes an address from its holder.
    ///
    /// It touches the state, the attachment and the time of release, and nothing else. The server refuses it with 409
    /// when the object is of another version, and with 422 when it is another object.
    ///
    /// - Parameter time: RFC 3339, for people.
    package static func releasePatch(
        at time: String, to state: ReleasedState = .cooling, uid: String, resourceVersion: String
    ) -> JSON {
        let state: JSON = .string(state.state.rawValue)
        return [
            "metadata": [
                "uid": .string(uid), "resourceVersion": .string(resourceVersion),
                "labels": [LabelKey.state: state, LabelKey.attachment: .null],
            ],
            "spec": ["state": state, "attachment": .null, "releasedAt": .string(time)],
        ]
    }

    /// The merge patch that takes a kept address from its claim: it cools, and belongs to nobody.
    package static func abandonPatch(uid: String, resourceVersion: String) -> JSON {
        let state: JSON = .string(AllocationState.cooling.rawValue)
        return [
            "metadata": [
                "uid": .string(uid), "resourceVersion": .string(resourceVersion),
                "labels": [LabelKey.state: state, LabelKey.claim: .null],
            ],
            "spec": ["state": state, "claim": .null],
        ]
    }

    /// The object to put in this one's place, on condition of the version that was read.
    ///
    /// Of the spec, every member that this version knows is replaced, and those of newer versions stay. Labels that
    /// repeat the spec follow it; others stay.
    package func takenOver(by newSpec: Spec, of machine: VirtualMachineMark? = nil, boot: String? = nil) -> JSON {
        var spec = json["spec"] ?? [:]
        for name in Spec.memberNames { spec[name] = nil }
        for member in newSpec.json.object?.members ?? [] { spec[member.name] = member.value }
        var labels = json["metadata"]?["labels"] ?? [:]
        for (key, value) in newSpec.labels { labels[key] = value.map { .string($0) } }
        var object = json
        object["spec"] = spec
        object["metadata"]?["labels"] = labels
        // What the controller noted of an earlier holder is not about this one.
        for key in [AnnotationKey.reclaim, AnnotationKey.fencedNodeUID] {
            object["metadata"]?["annotations"]?[key] = nil
        }
        for (key, value) in Self.holderAnnotations(newSpec, machine, boot) {
            if value != nil, object["metadata"]?["annotations"] == nil { object["metadata"]?["annotations"] = [:] }
            object["metadata"]?["annotations"]?[key] = value.map { .string($0) }
        }
        return object
    }

    /// What annotations say of the holder. Nil: there must be no such annotation.
    fileprivate static func holderAnnotations(
        _ spec: Spec, _ machine: VirtualMachineMark?, _ boot: String?
    ) -> [(key: String, value: String?)] {
        let mark = spec.attachment.flatMap { holder in boot.map { "\($0)/\(holder.digest)" } }
        return VirtualMachineMark.annotations(machine) + [(AnnotationKey.boot, mark)]
    }

    /// The boot of its machine in which the holder was given it; nil where that is not known.
    package var boot: String? {
        guard let mark = metadata.annotations[AnnotationKey.boot], let digest = spec.attachment?.digest,
            mark.hasSuffix("/\(digest)")
        else { return nil }
        return String(mark.dropLast(digest.count + 1))
    }

    /// Who holds the address and where, for messages.
    package var holderDescription: String {
        var parts = [spec.state.rawValue.lowercased()]
        if let pod = spec.pod { parts.append("pod \(pod.namespace)/\(pod.name) (UID \(pod.uid))") }
        if let attachment = spec.attachment { parts.append("\(attachment)") }
        if let claim = spec.claim { parts.append("claim \(claim.namespace)/\(claim.name)") }
        if spec.origin == .manual { parts.append("entered by hand") }
        if !spec.node.isEmpty { parts.append("node \(spec.node)") }
        return parts.joined(separator: ", ")
    }
}
