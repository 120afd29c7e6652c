import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ReclaimMessageTests {
    @Test func `messages name the address, its holder, the node and the reason`() throws {
        let pod = try record("10.0.0.1")
        #expect(
            ReclaimMessage.released(pod, .podDeleted)
                == "reclaimed 10.0.0.1 of pod shop/web-0 on node n1: the pod is deleted")
        #expect(
            ReclaimMessage.released(try record("fd00::1", network: "red", origin: .static), .nodeDeleted)
                == "reclaimed fd00::1 in network red of static pod shop/web-0 on node n1: the node is deleted")
        #expect(
            ReclaimMessage.fenced(try record("10.0.0.1", origin: .container, pod: nil), .podFinished, lease: nil)
                == "fenced 10.0.0.1 of a container on node n1: the pod has finished, and the node does not report")
        #expect(
            ReclaimMessage.fenced(pod, .podDeleted, lease: "berth-system/n1")
                == "fenced 10.0.0.1 of pod shop/web-0 on node n1: the pod is deleted, and the node does not report:"
                + " Lease berth-system/n1 of its agent is stale, or another machine's")
        #expect(
            ReclaimMessage.marked(pod, .podReplaced)
                == "marked 10.0.0.1 of pod shop/web-0 on node n1 for the node agent: another pod has its name")
        #expect(ReclaimMessage.unmarked(pod) == "unmarked 10.0.0.1 of pod shop/web-0 on node n1: the pod is there")
        #expect(
            ReclaimMessage.unfenced(pod)
                == "unfenced 10.0.0.1 of pod shop/web-0 on node n1: the node reports again, and nothing says that the"
                + " holder is gone")
    }

    @Test func `every reason is one word in CamelCase and has an explanation of its own`() {
        #expect(
            ReclaimReason.allCases.map(\.rawValue) == [
                "PodDeleted", "PodReplaced", "PodFinished", "NodeDeleted", "NodeOutOfService", "NodeLost",
            ])
        #expect(Set(ReclaimReason.allCases.map(\.explanation)).count == ReclaimReason.allCases.count)
    }
}

@Suite struct NodeHistoryTests {
    @Test func `a machine is remembered with the UID that its node had last`() {
        var history = NodeHistory()
        #expect(history.uid(ofMachine: "m1", node: "n1") == nil)
        history.observe(node: "n1", uid: "a", machineID: "m1")
        history.observe(node: "n1", uid: "b", machineID: "m2")
        history.observe(node: "n2", uid: "c", machineID: "m1")
        #expect(history.uid(ofMachine: "m1", node: "n1") == "a")
        #expect(history.uid(ofMachine: "m2", node: "n1") == "b")
        history.observe(node: "n1", uid: "d", machineID: "m1")
        #expect(history.uid(ofMachine: "m1", node: "n1") == "d")
    }

    @Test func `a node without a machine ID leaves nothing behind`() {
        var history = NodeHistory()
        history.observe(node: "n1", uid: "a", machineID: "")
        #expect(history.uid(ofMachine: "", node: "n1") == nil)
    }

    @Test func `only so many machines of a name are remembered`() {
        var history = NodeHistory()
        for number in 0...NodeHistory.machinesOfName {
            history.observe(node: "n1", uid: "u\(number)", machineID: "m\(number)")
        }
        #expect(history.uid(ofMachine: "m0", node: "n1") == nil)
        #expect(history.uid(ofMachine: "m1", node: "n1") == "u1")
    }
}
