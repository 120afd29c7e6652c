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
    private let isStopped = Mutex(false)
    private let observed = Mutex(Findings())
    private let history: Mutex<AllocationHistory>

    init(_ hammer: Hammer) async throws {
        self.hammer = hammer
        let selector = hammer.pools.selector
        let version = try await hammer.controlPlane.withAdmin { client in
            try client.list(.ipAllocations, options: ListOptions(labelSelector: selector), deadline: .soon)
                .resourceVersion
        }
        history = Mutex(AllocationHistory(version: version))
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

    /// Follows the changes until ``stop()``.
    func follow() async throws {
        while !isStopped.withLock(\.self) { try await followOnce() }
    }

    /// Watches for two seconds from where the last watch ended, for the server ends the watch of a client that is slow.
    private func followOnce() async throws {
        let request = APIRequest(
            method: .get, path: ResourceType.ipAllocations.path(namespace: nil, name: nil),
            query: [
                .init("watch", "1"), .init("labelSelector", hammer.pools.selector),
                .init("resourceVersion", history.withLock(\.version)), .init("timeoutSeconds", "2"),
            ],
            headers: [], subject: .init(verb: .list, resource: .ipAllocations))
        let kubeconfig = hammer.controlPlane.kubeconfig
        let outcome = try await TestSupport.run(
            "kubectl", ["--kubeconfig", kubeconfig, "get", "--raw", request.pathAndQuery])
        observed.withLock { findings in
            history.withLock { history in
                for line in outcome.output.split(separator: UInt8(ascii: "\n")) {
                    // The last one may be cut off, and comes again.
                    guard let event = try? JSON(parsing: Array(line)) else { continue }
                    history.add(event, &findings)
                }
            }
        }
    }

    /// Follows the changes to the last one, when nobody makes any more, and says what both views have found.
    func findings() async throws -> Findings {
        for _ in 0..<30 {
            let versions = Dictionary(
                uniqueKeysWithValues: try await hammer.allocations().map {
                    ($0.metadata.name, $0.metadata.resourceVersion)
                })
            if history.withLock(\.versions) == versions { return observed.withLock(\.self) }
            try await followOnce()
        }
        throw TestSetUpError("the watch did not tell of all changes of the ledger")
    }
}

/// The lives of allocations as a watch tells them.
private struct AllocationHistory {
    /// That of the last change.
    private(set) var version: String
    /// Those of the allocations that exist, by name.
    private(set) var versions: [String: String] = [:]
    /// By name, who holds those that exist; nil in cooldown.
    private var holders: [String: Attachment?] = [:]

    init(version: String) { self.version = version }

    mutating func add(_ event: JSON, _ findings: inout HammerWatch.Findings) {
        findings.events += 1
        guard let type = event["type"]?.string, let object = event["object"],
            let allocation = try? IPAllocation(object)
        else { return findings.problems.append("an event that is none: \(event)") }
        let name = allocation.metadata.name
        version = allocation.metadata.resourceVersion
        if type == "DELETED" {
            holders[name] = nil
            versions[name] = nil
            return
        }
        versions[name] = version
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
