import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport

/// Looks at the ledger while a hammer works on it, and plays the controller's part in ending cooldowns.
///
/// Two views, for neither sees everything: the whole ledger again and again, held against what the runtimes believe at
/// that moment; and every single change of every allocation in its order, from a watch, in which no address may pass
/// from one holder to another without a release.
final class HammerWatch: Sendable {
    struct Findings: Sendable {
        /// Times that the ledger was read as a whole.
        var reads = 0
        var events = 0
        var duplicates: [String] = []
        var lost: [String] = []
        var problems: [String] = []
    }

    private let hammer: Hammer
    private let watch: RunningProcess
    private let isStopped = Mutex(false)
    private let observed = Mutex(Findings())

    init(_ hammer: Hammer) async throws {
        self.hammer = hammer
        let selector = hammer.pools.selector
        let version = try await hammer.controlPlane.withAdmin { client in
            try client.list(.ipAllocations, options: ListOptions(labelSelector: selector), deadline: .soon)
                .resourceVersion
        }
        let path = ResourceType.ipAllocations.path(namespace: nil, name: nil)
        let request = APIRequest(
            method: .get, path: path,
            query: [
                .init("watch", "1"), .init("labelSelector", selector), .init("resourceVersion", version),
                .init("timeoutSeconds", "3600"),
            ],
            headers: [], subject: .init(verb: .list, resource: .ipAllocations))
        watch = try Command(
            "kubectl", ["--kubeconfig", hammer.controlPlane.kubeconfig, "get", "--raw", request.pathAndQuery],
            limit: .seconds(3600)
        ).start()
    }

    // MARK: The ledger as a whole

    /// Reads the ledger after every few operations until ``stop()``.
    func run() async throws {
        var seenCooling: [String: ContinuousClock.Instant] = [:]
        while !isStopped.withLock(\.self) {
            let before = hammer.beliefs.state
            let allocations = try await hammer.allocations()
            let after = hammer.beliefs.state.holdings
            let settled = before.holdings.filter { after[$0.key] == $0.value }
            observed.withLock { Self.compare(allocations, settled, &$0) }
            try await endCooldowns(allocations, &seenCooling)
            try await hammer.beliefs.reach(min(before.operations + 20, hammer.operations))
        }
    }

    func stop() { isStopped.withLock { $0 = true } }

    /// What a runtime was told before, and has not begun to release since, must be entered under its name.
    private static func compare(
        _ allocations: [IPAllocation], _ believed: [Attachment: RuntimeBeliefs.Holding], _ findings: inout Findings
    ) {
        findings.reads += 1
        var holders: [IPAddress: Attachment] = [:]
        for allocation in allocations {
            if let problem = allocation.contradiction { findings.problems.append(problem) }
            holders[allocation.spec.address] = allocation.spec.attachment
        }
        for (attachment, holding) in believed {
            for address in holding.addresses where holders[address] != attachment {
                let holder = holders[address].map { "\($0)" } ?? "nobody"
                findings.lost.append("\(address) was given to \(attachment) and is held by \(holder)")
            }
        }
    }

    /// Deletes allocations that have cooled, by this process's own clock, as the controller does.
    private func endCooldowns(
        _ allocations: [IPAllocation], _ seen: inout [String: ContinuousClock.Instant]
    ) async throws {
        let cooling = allocations.filter { $0.spec.state == .cooling }
        let now = ContinuousClock.now
        func key(_ allocation: IPAllocation) -> String {
            "\(allocation.metadata.uid)/\(allocation.metadata.resourceVersion)"
        }
        seen = Dictionary(uniqueKeysWithValues: cooling.map { (key($0), seen[key($0)] ?? now) })
        for allocation in cooling where seen[key(allocation)].map({ now - $0 > Hammer.cooldown }) == true {
            let metadata = allocation.metadata
            let preconditions = Preconditions(uid: metadata.uid, resourceVersion: metadata.resourceVersion)
            try await hammer.controlPlane.withAdmin { client in
                do throws(APIError) {
                    try client.delete(
                        .ipAllocations, name: metadata.name, preconditions: preconditions, deadline: .soon)
                } catch {
                    // Taken over, or deleted by a release.
                    guard error.isConflict || error.isNotFound else { throw error }
                }
            }
        }
    }

    // MARK: Each change

    /// Ends the watch and says what both views have found.
    func findings() async -> Findings {
        watch.killGroup()
        let output = await watch.outcome().output
        return observed.withLock { findings in
            var history = AllocationHistory()
            for line in output.split(separator: UInt8(ascii: "\n")) {
                // The last one may be cut off.
                guard let event = try? JSON(parsing: Array(line)) else { continue }
                history.add(event, &findings)
            }
            return findings
        }
    }
}

/// The lives of allocations as a watch tells them.
private struct AllocationHistory {
    /// By name, who holds those that exist; nil in cooldown.
    private var holders: [String: Attachment?] = [:]

    mutating func add(_ event: JSON, _ findings: inout HammerWatch.Findings) {
        findings.events += 1
        guard let type = event["type"]?.string, let object = event["object"],
            let allocation = try? IPAllocation(object)
        else { return findings.problems.append("an event that is none: \(event)") }
        let name = allocation.metadata.name
        if type == "DELETED" {
            holders[name] = nil
            return
        }
        if let problem = allocation.contradiction { findings.problems.append(problem) }
        let holder = allocation.spec.attachment
        if let previous = holders[name] ?? nil, let holder, previous != holder {
            findings.duplicates.append("\(name) went from \(previous) to \(holder) without a release")
        }
        holders[name] = .some(holder)
    }
}

extension IPAllocation {
    /// What the object says against itself; nil when it is as it should be.
    fileprivate var contradiction: String? {
        if metadata.name != spec.address.objectName { return "\(metadata.name) is about \(spec.address)" }
        if (spec.state == .bound) == (spec.attachment != nil) { return nil }
        return "\(metadata.name) is \(spec.state) and names \(spec.attachment.map { "\($0)" } ?? "no attachment")"
    }
}
