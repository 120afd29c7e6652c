package import IPAMAPI
package import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesClient
import KubernetesCore

/// A pod by its namespace and name.
package struct PodKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var namespace: String
    package var name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package var description: String { "\(namespace)/\(name)" }

    package static func < (a: PodKey, b: PodKey) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}

/// What the API server has of a pod that concerns its addresses.
package struct PodEntry: Hashable, Sendable {
    package var key: PodKey
    package var fact: PodFact
    /// Empty while it is not scheduled.
    package var node: String
    /// It has the addresses of its node.
    package var usesHostNetwork: Bool
    /// `status.podIPs`: of the sandbox's interface `eth0`, as kubelet was told by the runtime.
    package var addresses: [IPAddress]
    /// What Multus writes of each interface (`k8s.v1.cni.cncf.io/network-status`).
    package var interfaces: [String: [IPAddress]]
    /// The virtual machine whose guest runs in it, or will.
    package var machine: VirtualMachinePod?

    package init(
        _ key: PodKey, _ fact: PodFact, node: String = "", usesHostNetwork: Bool = false, addresses: [IPAddress] = [],
        interfaces: [String: [IPAddress]] = [:], machine: VirtualMachinePod? = nil
    ) {
        self.key = key
        self.fact = fact
        self.node = node
        self.usesHostNetwork = usesHostNetwork
        self.addresses = addresses
        self.interfaces = interfaces
        self.machine = machine
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let metadata = try ObjectMetadata(try JSONFields(json))
        let (spec, status) = (json["spec"], json["status"])
        self.init(
            PodKey(namespace: metadata.namespace ?? "", name: metadata.name), try PodFact(json),
            node: spec?["nodeName"]?.string ?? "", usesHostNetwork: spec?["hostNetwork"]?.bool ?? false,
            addresses: (status?["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string.flatMap { IPAddress($0) } },
            interfaces: Self.interfaces(metadata.annotations["k8s.v1.cni.cncf.io/network-status"]),
            machine: VirtualMachinePod(metadata))
    }

    /// What cannot be read says nothing.
    private static func interfaces(_ annotation: String?) -> [String: [IPAddress]] {
        guard let annotation, let list = (try? JSON(parsing: Array(annotation.utf8)))?.array else { return [:] }
        var interfaces: [String: [IPAddress]] = [:]
        for element in list {
            guard let name = element["interface"]?.string else { continue }
            let texts = (element["ips"]?.array ?? []).compactMap(\.string)
            interfaces[name, default: []] += texts.compactMap { IPAddress($0) }
        }
        return interfaces
    }

    /// The same pod as an allocation names: by its UID or, of a static pod, the kubelet's own.
    func isNamed(by reference: PodReference?) -> Bool {
        guard let reference, reference.namespace == key.namespace, reference.name == key.name else { return false }
        switch fact {
        case .absent: return false
        case .present(let uid, let configHash), .finished(let uid, let configHash):
            return reference.uid == uid || reference.uid == configHash
        }
    }

    /// Has a sandbox, as far as the API tells.
    var isLive: Bool { if case .present = fact { true } else { false } }
}

/// An IPPool, with what is wrong with it.
package struct PoolEntry: Hashable, Sendable {
    package var pool: IPPool
    package var validated: Result<ValidatedPool, PoolProblem>

    package init(_ pool: IPPool, purpose: String? = nil) {
        self.pool = pool
        do throws(PoolProblem) {
            validated = .success(try ValidatedPool(pool, purpose: purpose))
        } catch {
            validated = .failure(error)
        }
    }

    package var name: String { pool.metadata.name }
    package var valid: ValidatedPool? { try? validated.get() }

    /// A status that cannot be read is as good as none.
    package init(_ json: JSON) throws(JSONDecodingError) {
        do throws(JSONDecodingError) {
            self.init(try IPPool(json))
        } catch {
            var json = json
            json["status"] = json["status"]?["reserved"].map { ["reserved": $0] }
            self.init(try IPPool(json))
        }
    }
}

/// An IPClaim, as far as the ledger is compared with it.
package struct ClaimEntry: Hashable, Sendable {
    package var key: PodKey
    package var uid: String
    /// Nil also where it cannot be read: such a claim is there, and nothing else is known of it.
    package var holder: IPClaim.Holder?

    package init(_ key: PodKey, uid: String, holder: IPClaim.Holder? = nil) {
        self.key = key
        self.uid = uid
        self.holder = holder
    }

    package init(_ json: JSON) {
        let metadata = json["metadata"]
        self.init(
            PodKey(namespace: metadata?["namespace"]?.string ?? "", name: metadata?["name"]?.string ?? ""),
            uid: metadata?["uid"]?.string ?? "", holder: (try? IPClaim(json))?.status.holder)
    }
}

/// An IPBlock, with what is wrong with it.
package struct BlockEntry: Hashable, Sendable {
    package var name: String
    /// Empty where it is not known.
    package var pool: String
    package var validated: Result<ValidatedBlock, BlockProblem>

    /// Why nobody understands it.
    package struct BlockProblem: Error, Hashable, Sendable {
        package var text: String
    }

    package init(_ json: JSON) {
        name = json["metadata"]?["name"]?.string ?? ""
        pool = json["spec"]?["pool"]?.string ?? ""
        do {
            validated = .success(try ValidatedBlock(try IPBlock(json)))
        } catch {
            validated = .failure(BlockProblem(text: "\(error)"))
        }
    }

    package var valid: ValidatedBlock? { try? validated.get() }
}

extension ClusterReader {
    package func pools() throws -> [PoolEntry] {
        try list(.ipPools) { json in
            do throws(JSONDecodingError) {
                return try PoolEntry(json)
            } catch {
                throw ConsoleError(
                    "IPPool \"\(json["metadata"]?["name"]?.string ?? "")\" cannot be read: \(error)",
                    remedy: "use the version of kubectl-berth that belongs to the installed custom resources")
            }
        }
    }

    package func pods() throws -> [PodEntry] { try list(.pods) { try PodEntry($0) } }

    package func pod(_ key: PodKey) throws -> PodEntry? {
        try read(.pods, namespace: key.namespace, name: key.name).map { try PodEntry($0) }
    }

    package func nodes() throws -> [(name: String, fact: NodeFact)] {
        try list(.nodes) { json in
            (json["metadata"]?["name"]?.string ?? "", Self.nodeFact(json))
        }
    }

    package func node(_ name: String) throws -> NodeFact {
        try read(.nodes, name: name).map(Self.nodeFact) ?? .absent
    }

    static func nodeFact(_ json: JSON) -> NodeFact {
        NodeFact(NodeMark(json), uid: json["metadata"]?["uid"]?.string ?? "")
    }

    /// Nil where the server does not know the kind.
    package func claimEntries() throws -> [ClaimEntry]? { try listIfServed(.ipClaims) { ClaimEntry($0) } }

    /// Nil where the server does not know the kind.
    package func blockEntries() throws -> [BlockEntry]? { try listIfServed(.ipBlocks) { BlockEntry($0) } }
}
