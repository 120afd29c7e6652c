import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

/// An allocation of the pool `blue`, held by the pod `shop/web-0`.
func record(
    _ text: String, network: String = "", state: AllocationState = .bound, origin: AllocationOrigin = .pod,
    pool: String = "blue", poolUID: String? = nil, node: String = "n1", machineID: String = "m1",
    pod: PodReference? = PodReference(namespace: "shop", name: "web-0", uid: "pod-uid"),
    deleted: Bool = false, mark: String? = nil, fenced: String? = nil
) throws -> AllocationRecord {
    AllocationRecord(
        AllocationRecord.Fields(
            address: try address(text), network: network, state: state, origin: origin, pool: pool,
            poolUID: poolUID ?? "uid-\(pool)", node: node, machineID: machineID, pod: pod, attachmentDigest: "digest",
            isBeingDeleted: deleted, reclaimMark: mark, fencedNodeUID: fenced))
}

extension AllocationRecord {
    /// The same allocation with something changed.
    func with(_ change: (inout Fields) -> Void) -> AllocationRecord {
        var fields = fields
        change(&fields)
        return AllocationRecord(fields)
    }
}

extension Moment {
    static func seconds(_ seconds: Int64) -> Moment { Moment(nanoseconds: seconds * 1_000_000_000) }
}

/// An IPPool object of generation 3.
func poolObject(
    _ name: String = "blue", spec: String, annotations: String = "{}", finalizers: String = "[]",
    deleted: Bool = false, status: String? = nil
) throws -> JSON {
    var object = try JSON(
        parsing: """
            {"metadata": {"name": "\(name)", "uid": "uid-\(name)", "generation": 3, "annotations": \(annotations),
            "finalizers": \(finalizers)}, "spec": \(spec)}
            """)
    if deleted { object["metadata"]?["deletionTimestamp"] = "2025-11-20T09:07:05Z" }
    if let status { object["status"] = try JSON(parsing: status) }
    return object
}
