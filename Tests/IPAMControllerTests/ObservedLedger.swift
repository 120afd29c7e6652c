import ControllerHTTP
import IPAMAPI
import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import TestSupport

/// What an administrator sees of the ledger and of what the controller writes beside it, for tests to wait on.
final class ObservedLedger: Sendable {
    let allocations = Observed<[String: JSON]>([:])
    let pools = Observed<[String: JSON]>([:])
    let reservations = Observed<[String: JSON]>([:])
    let blocks = Observed<[String: JSON]>([:])
    let events = Observed<[String: JSON]>([:])
    let secrets = Observed<[String: JSON]>([:])
    let webhooks = Observed<[String: JSON]>([:])
    let claims = Observed<[String: JSON]>([:])
    /// The UIDs of all objects that were ever seen.
    private let seen = Observed<Set<String>>([])

    func run(on connection: AsyncConnection) async throws {
        try await withThrowingTaskGroup { group in
            for (type, observed) in [
                (ResourceType.ipAllocations, allocations), (.ipPools, pools), (.ipReservations, reservations),
                (.ipClaims, claims), (.ipBlocks, blocks), (.events, events), (.secrets, secrets),
                (.validatingWebhookConfigurations, webhooks),
            ] {
                let store = ObjectStore { $0 }
                store.observe { [seen] deltas in
                    observed.update { $0.apply(deltas) }
                    let uids = deltas.compactMap(\.uid)
                    seen.update { $0.formUnion(uids) }
                }
                let watcher = Watcher(WatchScope(type), on: connection, into: store)
                group.addTask { try await watcher.run() }
            }
            try await group.waitForAll()
        }
    }

    // MARK: Waiting

    /// Waits until an object that was made has been seen, so that it is gone when it is not there any more.
    func waitUntilSeen(_ object: JSON) async throws {
        let uid = object["metadata"]?["uid"]?.string ?? ""
        try await seen.wait(for: "\(object["metadata"]?["name"]?.string ?? "")") { seen -> Void? in
            seen.contains(uid) ? () : nil
        }
    }

    func waitUntilGone(_ name: String) async throws {
        _ = try await wait("the release of \(name)") { $0[name] == nil ? true : nil }
    }

    func waitForState(_ name: String, _ state: String) async throws {
        _ = try await wait("\(name) in the state \(state)") { objects -> Bool? in
            objects[name]?["spec"]?["state"]?.string == state ? true : nil
        }
    }

    func wait<Found: Sendable>(
        _ what: String, _ pick: @escaping @Sendable ([String: JSON]) -> Found?
    ) async throws -> Found {
        try await allocations.wait(for: what, within: .seconds(120), pick)
    }

    /// Waits until the status of a pool is as `isRight` wants it.
    func waitForPool(_ name: String, _ what: String, _ isRight: @escaping @Sendable (JSON) -> Bool) async throws {
        _ = try await pools.wait(for: "\(name): \(what)", within: .seconds(120)) { pools -> Bool? in
            pools[name].map(isRight) == true ? true : nil
        }
    }

    /// Waits until the status of a reservation is as `isRight` wants it.
    func waitForReservation(
        _ name: String, _ what: String, _ isRight: @escaping @Sendable (JSON) -> Bool
    ) async throws {
        _ = try await reservations.wait(for: "\(name): \(what)", within: .seconds(120)) { reservations -> Bool? in
            reservations[name].map(isRight) == true ? true : nil
        }
    }

    func waitForEvent(about name: String, reason: String) async throws -> String {
        try await events.wait(for: "the event \(reason) about \(name)", within: .seconds(120)) { events in
            events.values.first {
                $0["involvedObject"]?["name"]?.string == name && $0["reason"]?.string == reason
            }?["message"]?.string
        }
    }

    func state(_ name: String) -> String? { allocations.value[name]?["spec"]?["state"]?.string }

    /// Waits until a controller leads: its stores have synced by the time that the metric says so.
    func leads(_ controller: AddressController, _ registry: MetricsRegistry) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !registry.render().contains("berth_leader 1\n") || controller.synced.contains(where: { !$0.isSynced }) {
            guard ContinuousClock.now < deadline else { throw TestSetUpError("the controller does not lead") }
            // The metric is for scrapers, who poll too.
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

extension ObjectDelta<JSON> {
    fileprivate var uid: String? {
        switch self {
        case .added(_, let object), .changed(_, _, let object): object.uid
        case .deleted, .unreadable: nil
        }
    }
}

extension [String: JSON] {
    fileprivate mutating func apply(_ deltas: [ObjectDelta<JSON>]) {
        for delta in deltas {
            switch delta {
            case .added(let key, let object), .changed(let key, _, let object): self[key.name] = object.value
            case .deleted(let key, _), .unreadable(let key, _, _): self[key.name] = nil
            }
        }
    }
}
