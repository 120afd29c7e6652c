import ControllerHTTP
import IPAMAPI
import IPAMNode
import JSONText
import KubernetesCore
import Testing

@Suite("Tokens, states and Leases")
struct NodeValueTests {
    private static func token(_ claims: JSON) -> String {
        func part(_ json: JSON) -> String {
            String(
                Base64.encode(json.serialized()).compactMap {
                    switch $0 {
                    case "+": "-"
                    case "/": "_"
                    case "=": nil
                    default: $0
                    }
                })
        }
        return "\(part(["alg": "RS256"])).\(part(claims)).c2ln"
    }

    @Test func `a token says when it expires and which pod it is bound to`() throws {
        let text = Self.token([
            "exp": 1_800_000_000, "iat": 1_799_956_800, "sub": "system:serviceaccount:berth-system:berth-node",
            "kubernetes.io": ["namespace": "berth-system", "pod": ["name": "berth-node-x", "uid": "p1"]],
        ])
        let token = try #require(ServiceToken(text))
        #expect(token.expiresAt == 1_800_000_000)
        #expect(token.issuedAt == 1_799_956_800)
        #expect(token.podUID == "p1")
        #expect(token.subject == "system:serviceaccount:berth-system:berth-node")
    }

    @Test func `a token may be bound to nothing and last for ever`() throws {
        let token = try #require(ServiceToken(Self.token([:])))
        #expect(token == ServiceToken())
    }

    @Test(arguments: ["", "a", "a.b", "a.b.c.d", "a.!!.c", "a.bm90IGpzb24.c", "a.WzFd.c"])
    func `what is no JWT is none`(text: String) {
        #expect(ServiceToken(text) == nil)
    }

    // MARK: The state for the probe

    private static let now = Moment(nanoseconds: 1_000_000_000_000)

    private static func state(_ checks: [ReadinessCheck], age: Duration = .zero, boot: String = "b") -> NodeState {
        NodeState(at: now - age, bootID: boot, lifetime: .seconds(60), version: "0.1.0", checks: checks)
    }

    @Test func `ready is when no check has a problem, and only for a while`() {
        let fine = [ReadinessCheck("token"), ReadinessCheck("plugin")]
        let broken = fine + [ReadinessCheck("api", problem: "refused")]
        #expect(Self.state(fine).problem(now: Self.now, bootID: "b") == nil)
        #expect(Self.state(broken).problem(now: Self.now, bootID: "b") == "api: refused")
        #expect(Self.state(fine, age: .seconds(60)).problem(now: Self.now, bootID: "b") == nil)
        #expect(
            Self.state(fine, age: .seconds(61)).problem(now: Self.now, bootID: "b")
                == "the agent looked last 61 s ago")
        #expect(Self.state(fine).problem(now: Self.now, bootID: "c") != nil)
        // Alive is whoever looks, whatever it finds.
        #expect(Self.state(broken).staleness(now: Self.now, bootID: "b") == nil)
        #expect(Self.state(broken, age: .seconds(61)).staleness(now: Self.now, bootID: "b") != nil)
    }

    @Test func `a state is read as it was written`() throws {
        let state = Self.state([ReadinessCheck("token"), ReadinessCheck("api", problem: "a \"quoted\" one")])
        #expect(try NodeState(JSON(parsing: state.json.serialized())) == state)
    }

    // MARK: The Lease

    @Test func `the Lease is what the controller looks for`() {
        let identity = AgentIdentity(node: "n1", machineID: "m1", holder: "h", namespace: "berth-system")
        let owner = OwnerReference(apiVersion: "apps/v1", kind: "DaemonSet", name: "berth-node", uid: "d1")
        let object = AgentLeaseWrite.object(identity, owner: owner, duration: .seconds(40), time: "t")
        let mark = AgentMark(object)
        #expect(object["metadata"]?["name"] == "n1")
        #expect(mark.isAgents)
        #expect(mark.machineID == "m1")
        #expect(mark.holder == "h")
        #expect(mark.duration == .seconds(40))
        #expect(
            object["metadata"]?["ownerReferences"]
                == [["apiVersion": "apps/v1", "kind": "DaemonSet", "name": "berth-node", "uid": "d1"]])
        let patch = AgentLeaseWrite.patch(identity, owner: nil, duration: .seconds(40), time: "t")
        // What is not known is left as it is.
        #expect(patch["metadata"]?["ownerReferences"] == nil)
        #expect(patch["spec"]?["acquireTime"] == nil)
    }
}
