package import IPAMAPI
package import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesCore

/// An IPAllocation as the commands look at it, without the object's JSON.
package struct LedgerEntry: Hashable, Sendable {
    package var record: AllocationRecord
    package var uid: String
    package var resourceVersion: String
    package var attachment: Attachment?
    package var claim: ClaimReference?
    /// RFC 3339, by the clock of the machine that wrote it. For people.
    package var claimedAt: String?
    package var releasedAt: String?
    /// Labels that do not repeat what the spec says.
    package var labelProblems: [String]

    package init(
        _ record: AllocationRecord, uid: String = "", resourceVersion: String = "", attachment: Attachment? = nil,
        claim: ClaimReference? = nil, claimedAt: String? = nil, releasedAt: String? = nil,
        labelProblems: [String] = []
    ) {
        self.record = record
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.attachment = attachment
        self.claim = claim
        self.claimedAt = claimedAt
        self.releasedAt = releasedAt
        self.labelProblems = labelProblems
    }

    package var name: String { record.name }
    package var podKey: PodKey? { record.pod.map { PodKey(namespace: $0.namespace, name: $0.name) } }

    package init(_ json: JSON, sharing strings: StringPool) throws(JSONDecodingError) {
        let allocation = try IPAllocation(json)
        let (spec, metadata) = (allocation.spec, allocation.metadata)
        self.init(
            AllocationRecord(allocation, sharing: strings), uid: metadata.uid,
            resourceVersion: metadata.resourceVersion, attachment: spec.attachment, claim: spec.claim,
            claimedAt: spec.claimedAt ?? metadata.creationTimestamp, releasedAt: spec.releasedAt,
            labelProblems: Self.labelProblems(spec, metadata.labels))
    }

    /// An entry by hand needs no labels; those that it has must be right.
    private static func labelProblems(_ spec: IPAllocation.Spec, _ labels: [String: String]) -> [String] {
        spec.labels.compactMap { key, expected in
            let found = labels[key]
            if found == expected || (found == nil && spec.origin == .manual) { return nil }
            guard let expected else { return "\(key) is \"\(found ?? "")\", and the spec says nothing of it" }
            guard let found else { return "\(key) is missing; the spec says \"\(expected)\"" }
            return "\(key) is \"\(found)\", the spec says \"\(expected)\""
        }
    }
}

/// An object of the kind IPAllocation that cannot be understood, as far as it can.
package struct UnreadableAllocation: Hashable, Sendable {
    package var name: String
    package var problem: String
    /// The address that its spec names, where that is one.
    package var address: IPAddress?
    package var network: String
    package var pool: String

    package init(
        name: String, problem: String, address: IPAddress? = nil, network: String = "", pool: String = ""
    ) {
        self.name = name
        self.problem = problem
        self.address = address
        self.network = network
        self.pool = pool
    }

    init(_ json: JSON, _ error: JSONDecodingError) {
        let spec = json["spec"]
        self.init(
            name: json["metadata"]?["name"]?.string ?? "", problem: "\(error)",
            address: spec?["address"]?.string.flatMap { IPAddress($0) }, network: spec?["network"]?.string ?? "",
            pool: spec?["pool"]?.string ?? "")
    }

    /// The name that an allocation of the address has.
    var rightName: String? {
        address.flatMap { AllocationName(network: network, address: $0)?.objectName }
    }
}

/// Either of the two.
package enum LedgerObject: Hashable, Sendable {
    case entry(LedgerEntry)
    case unreadable(UnreadableAllocation)

    package init(_ json: JSON, sharing strings: StringPool) {
        do throws(JSONDecodingError) {
            self = .entry(try LedgerEntry(json, sharing: strings))
        } catch {
            self = .unreadable(UnreadableAllocation(json, error))
        }
    }
}

/// The allocations that a list showed.
package struct LedgerView: Sendable {
    package var entries: [LedgerEntry] = []
    package var unreadable: [UnreadableAllocation] = []

    package init(_ objects: [LedgerObject] = []) {
        for object in objects {
            switch object {
            case .entry(let entry): entries.append(entry)
            case .unreadable(let allocation): unreadable.append(allocation)
            }
        }
    }
}

extension ClusterReader {
    /// The allocations that a label selector names; all without one.
    package func ledger(_ selector: String? = nil) throws -> LedgerView {
        let strings = StringPool()
        return LedgerView(
            try list(.ipAllocations, options: ListOptions(labelSelector: selector)) {
                LedgerObject($0, sharing: strings)
            })
    }

    /// One allocation by its name; nil when that proves that there is none.
    package func allocation(_ name: String) throws(ConsoleError) -> LedgerObject? {
        try read(.ipAllocations, name: name).map { LedgerObject($0, sharing: StringPool()) }
    }

    /// What is taken in a network, by the names of its allocations, with their states.
    package func taken(network: String) throws -> [(address: IPAddress, state: AllocationState?)] {
        let selector =
            network.isEmpty ? "!\(LabelKey.network)" : "\(LabelKey.network)=\(LabelValue.fitting(network))"
        return try list(.ipAllocations, options: ListOptions(labelSelector: selector, form: .metadata)) { json in
            let metadata = json["metadata"]
            guard let name = metadata?["name"]?.string.flatMap({ AllocationName(objectName: $0) }),
                name.network == network
            else { return nil }
            let state = metadata?["labels"]?[LabelKey.state]?.string
            return (name.address, state.flatMap { AllocationState(rawValue: $0) })
        }
    }
}
