import IPAMNode
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

/// An API server with one Lease and one pod, whose garbage collector is the test.
private final class LeaseServer: AsyncTransport, AsyncClock {
    struct State: Sendable {
        var time = Moment(nanoseconds: 0)
        var lease: JSON?
        /// UID of the DaemonSet of the agent's pod.
        var podOwner: String?
        var refusesOtherOwners = false
        var refusesRenewals = false
        var requests: [String] = []
    }

    private let state: Mutex<State>

    init(podOwner: String? = "ds1") { state = Mutex(State(podOwner: podOwner)) }

    func change(_ body: @Sendable (inout State) -> Void) { state.withLock { body(&$0) } }

    /// Those since the last time.
    func takeRequests() -> [String] {
        state.withLock { state in
            defer { state.requests = [] }
            return state.requests
        }
    }

    var owners: [String]? { state.withLock { $0.lease.map(Self.owners) } }
    var renewed: String? { state.withLock { $0.lease?["spec"]?["renewTime"]?.string } }

    private static func owners(_ lease: JSON) -> [String] {
        (lease["metadata"]?["ownerReferences"]?.array ?? []).compactMap { $0["uid"]?.string }
    }

    // MARK: AsyncClock

    func now() -> Moment { state.withLock(\.time) }

    func sleep(until moment: Moment) async throws(CancellationError) {
        state.withLock { $0.time = max($0.time, moment) }
    }

    // MARK: AsyncTransport

    func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        state.withLock { state in
            let body = request.body.flatMap { try? JSON(parsing: $0) } ?? [:]
            let owners = Self.owners(body)
            state.requests.append(
                "\(request.method.rawValue) \(request.subject.resource.plural)"
                    + (owners.isEmpty ? "" : " of \(owners.joined(separator: ","))"))
            switch (request.method, request.subject.resource) {
            case (.get, .pods): return Self.reply(200, Self.pod(ownedBy: state.podOwner))
            case (.get, _):
                guard let lease = state.lease else { return Self.missing }
                return Self.reply(200, lease)
            case (.post, _):
                state.lease = body
                return Self.reply(201, body)
            default:
                guard let lease = state.lease else { return Self.missing }
                let changesOwners = body["metadata"]?["ownerReferences"] != nil && owners != Self.owners(lease)
                if state.refusesRenewals || state.refusesOtherOwners && changesOwners { return Self.forbidden }
                let patched = Self.merge(body, into: lease)
                state.lease = patched
                return Self.reply(200, patched)
            }
        }
    }

    /// RFC 7396.
    private static func merge(_ patch: JSON, into target: JSON) -> JSON {
        guard let members = patch.object?.members else { return patch }
        var merged = target.object == nil ? [:] : target
        for member in members {
            let value = merge(member.value, into: merged[member.name] ?? .null)
            merged[member.name] = member.value.isNull ? Optional<JSON>.none : value
        }
        return merged
    }

    private static func reply(_ status: Int, _ json: JSON) -> Reply {
        .success(HTTPResponse(status: status, body: json.serialized(), contentType: "application/json"))
    }

    private static func pod(ownedBy owner: String?) -> JSON {
        var pod: JSON = ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": "agent", "uid": "p1"]]
        if let owner {
            pod["metadata"]?["ownerReferences"] = [
                [
                    "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "berth-node", "uid": .string(owner),
                    "controller": true,
                ]
            ]
        }
        return pod
    }

    private static let missing = reply(
        404,
        [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "details": ["name": "n1", "group": "coordination.k8s.io", "kind": "leases"],
        ])

    private static let forbidden = reply(
        403,
        [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "cannot set an ownerRef on a resource you can't delete",
        ])
}

/// The agent's Lease, on a server that is a value. On a real one it is in AgentTests.
@Suite("The Lease and its owner", .timeLimit(.minutes(1)))
struct AgentLeaseTests {
    /// An agent of whose process nothing but the Lease is there.
    private final class Agent: Sendable {
        let server: LeaseServer
        let reports: Observed<[AgentLeaseReport]>
        private let lease: AgentLease

        init(_ server: LeaseServer, holder: String = "agent_1", pod: String? = "agent") {
            let reports = Observed<[AgentLeaseReport]>([])
            self.server = server
            self.reports = reports
            lease = AgentLease(
                AsyncClient(server, clock: server),
                identity: AgentIdentity(node: "n1", machineID: "m1", holder: holder, namespace: "ns", pod: pod),
                duration: .seconds(40), wallTime: { server.now().nanoseconds / 1_000 }
            ) { report in reports.update { $0.append(report) } }
        }

        /// Renews ten seconds after what was before. Returns the requests that it took.
        @discardableResult
        func renew(after pause: Duration = .seconds(10)) async throws -> [String] {
            server.change { $0.time = $0.time + pause }
            try await lease.renew(deadline: server.now() + .seconds(10))
            return server.takeRequests()
        }
    }

    @Test func `an ordinary renewal takes a read and a patch`() async throws {
        for owner in ["ds1", nil] {
            let agent = Agent(LeaseServer(podOwner: owner))
            let mark = owner.map { " of \($0)" } ?? ""
            #expect(try await agent.renew() == ["GET leases", "GET pods", "POST leases\(mark)"])
            for _ in 0..<10 { #expect(try await agent.renew() == ["GET leases", "PATCH leases\(mark)"]) }
            #expect(agent.server.owners == (owner.map { [$0] } ?? []))
        }
        let alone = Agent(LeaseServer(), pod: nil)
        for _ in 0..<100 { #expect(try await alone.renew().contains("GET pods") == false) }
    }

    // MARK: A server that lets nobody change the owner of what they may not delete

    @Test func `a renewal that is refused for its owner is made without, and that is said once`() async throws {
        let agent = Agent(LeaseServer())
        try await agent.renew()
        // The DaemonSet was deleted without its pods: its owner is taken from the Lease, and another one has the pods.
        agent.server.change { state in
            state.refusesOtherOwners = true
            state.lease?["metadata"]?["ownerReferences"] = nil
            state.podOwner = "ds2"
        }
        #expect(
            try await agent.renew() == ["GET leases", "GET pods", "PATCH leases of ds2", "PATCH leases"])
        #expect(agent.server.owners == [])
        #expect(agent.server.renewed == "1970-01-01T00:00:20.000000Z")
        for _ in 0..<100 { #expect(try await agent.renew().last == "PATCH leases") }
        let told = agent.reports.value
        #expect(told.count == 1)
        switch try #require(told.first) {
        case .ownerRefused(let owner, let error):
            #expect(owner.uid == "ds2")
            #expect("\(error)".contains("cannot set an ownerRef"))
        }
    }

    @Test func `another owner is tried again, and so is the Lease that has to be made`() async throws {
        let agent = Agent(LeaseServer())
        try await agent.renew()
        agent.server.change { state in
            state.refusesOtherOwners = true
            state.lease?["metadata"]?["ownerReferences"] = nil
        }
        #expect(try await agent.renew().suffix(2) == ["PATCH leases of ds1", "PATCH leases"])
        agent.server.change { $0.podOwner = "ds2" }
        #expect(
            try await agent.renew(after: .seconds(300))
                == ["GET leases", "GET pods", "PATCH leases of ds2", "PATCH leases"])
        #expect(agent.reports.value.count == 2)
        agent.server.change { $0.lease = nil }
        #expect(try await agent.renew() == ["GET leases", "GET pods", "POST leases of ds2"])
        #expect(try await agent.renew() == ["GET leases", "PATCH leases"])
        #expect(agent.server.owners == ["ds2"])
        #expect(agent.reports.value.count == 2)
    }

    @Test func `a renewal that is refused whatever its owner fails, and blames nobody`() async throws {
        let agent = Agent(LeaseServer())
        try await agent.renew()
        agent.server.change { $0.refusesRenewals = true }
        for _ in 0..<2 {
            let error = await #expect(throws: APIError.self) { try await agent.renew() }
            #expect(error?.isForbidden == true)
        }
        #expect(agent.reports.value == [])
        agent.server.change { $0.refusesRenewals = false }
        _ = agent.server.takeRequests()
        #expect(try await agent.renew() == ["GET leases", "PATCH leases of ds1"])
    }

    // MARK: A pod that gets another DaemonSet

    @Test func `a Lease that was removed comes back with the owner that the pod has now`() async throws {
        let agent = Agent(LeaseServer())
        try await agent.renew()
        agent.server.change { state in
            state.podOwner = "ds2"
            state.lease = nil
        }
        #expect(try await agent.renew() == ["GET leases", "GET pods", "POST leases of ds2"])
        #expect(try await agent.renew() == ["GET leases", "PATCH leases of ds2"])
    }

    @Test func `an owner that somebody has changed is looked up, and not written back`() async throws {
        let agent = Agent(LeaseServer())
        try await agent.renew()
        agent.server.change { state in
            state.podOwner = nil
            state.lease?["metadata"]?["ownerReferences"] = nil
        }
        #expect(try await agent.renew() == ["GET leases", "GET pods", "PATCH leases"])
        #expect(agent.server.owners == [])
        // The pod gets its new owner later: nothing shows it, so that it is found after a while.
        agent.server.change { $0.podOwner = "ds2" }
        #expect(try await agent.renew() == ["GET leases", "PATCH leases"])
        #expect(try await agent.renew(after: .seconds(300)) == ["GET leases", "GET pods", "PATCH leases of ds2"])
        #expect(agent.server.owners == ["ds2"])
    }

    @Test func `two agents of one DaemonSet renew in turn without a look at their pods`() async throws {
        let server = LeaseServer()
        let (old, new) = (Agent(server, holder: "old"), Agent(server, holder: "new"))
        try await old.renew()
        try await new.renew()
        for _ in 0..<10 {
            #expect(try await old.renew() == ["GET leases", "PATCH leases of ds1"])
            #expect(try await new.renew() == ["GET leases", "PATCH leases of ds1"])
        }
    }
}
