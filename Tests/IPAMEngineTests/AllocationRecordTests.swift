import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct AllocationRecordTests {
    private static let full = """
        {"apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPAllocation",
         "metadata": {"name": "red.10.0.0.7", "uid": "u", "resourceVersion": "5",
           "annotations": {"ipam.berth.dev/reclaim": "PodDeleted", "ipam.berth.dev/fenced-node-uid": "node-uid"},
           "deletionTimestamp": "2025-11-20T09:07:05Z"},
         "spec": {"state": "Fenced", "origin": "Static", "pool": "blue", "poolUID": "pool-uid", "address": "10.0.0.7",
           "network": "red", "node": "n1", "machineID": "m1",
           "attachment": {"networkName": "net", "containerID": "c1", "interface": "eth0"},
           "pod": {"namespace": "shop", "name": "web-0", "uid": "pod-uid"},
           "claim": {"namespace": "shop", "name": "web", "uid": "claim-uid"}, "cooldownSeconds": 90}}
        """

    @Test func `everything that a decision needs is taken from the object`() throws {
        let record = try AllocationRecord(try JSON(parsing: Self.full), sharing: StringPool())
        let digest = IPAMAPI.Attachment(networkName: "net", containerID: "c1", interface: "eth0").digest
        #expect(
            record.fields
                == AllocationRecord.Fields(
                    address: try address("10.0.0.7"), network: "red", state: .fenced, origin: .static, pool: "blue",
                    poolUID: "pool-uid", node: "n1", machineID: "m1",
                    pod: PodReference(namespace: "shop", name: "web-0", uid: "pod-uid"), attachmentDigest: digest,
                    claim: ClaimReference(namespace: "shop", name: "web", uid: "claim-uid"), cooldownSeconds: 90,
                    isBeingDeleted: true, reclaimMark: "PodDeleted",
                    fencedNodeUID: "node-uid"))
        #expect(record.name == "red.10.0.0.7")
    }

    @Test func `what an object does not say is empty`() throws {
        let json = try JSON(
            parsing: """
                {"metadata": {"name": "fd00-0000-0000-0000-0000-0000-0000-0007"},
                 "spec": {"state": "Cooling", "origin": "Pod", "pool": "blue", "address": "fd00::7"}}
                """)
        let record = try AllocationRecord(json, sharing: StringPool())
        #expect(
            record.fields
                == AllocationRecord.Fields(address: try address("fd00::7"), state: .cooling, pool: "blue"))
        #expect(record.name == "fd00-0000-0000-0000-0000-0000-0000-0007")
    }

    @Test(arguments: [
        ("\"state\": \"Fenced\"", "\"state\": \"Lost\"", "spec.state"),
        ("\"pool\": \"blue\"", "\"pool\": 3", "spec.pool"),
        ("\"address\": \"10.0.0.7\"", "\"address\": \"10.0.0.300\"", "spec.address"),
        ("\"address\": \"10.0.0.7\"", "\"address\": \"10.0.0.8\"", "spec.address"),
        ("\"network\": \"red\"", "\"network\": \"green\"", "spec.address"),
        ("\"name\": \"web-0\", \"uid\"", "\"uid\"", "spec.pod.name"),
        ("\"cooldownSeconds\": 90", "\"cooldownSeconds\": \"90\"", "spec.cooldownSeconds"),
        ("\"ipam.berth.dev/reclaim\": \"PodDeleted\"", "\"x\": 1", "metadata.annotations.x"),
    ])
    func `an object that was edited into nonsense is refused by the field`(
        old: String, new: String, path: String
    ) throws {
        let parts = Self.full.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
        try #require(parts.count == 2)
        let json = try JSON(parsing: parts.joined(separator: new))
        let error = #expect(throws: JSONDecodingError.self) {
            try AllocationRecord(json, sharing: StringPool())
        }
        #expect(error?.path == path)
    }

    @Test func `records are equal by what they say`() throws {
        let json = try JSON(parsing: Self.full)
        let first = try AllocationRecord(json, sharing: StringPool())
        let second = try AllocationRecord(json, sharing: StringPool())
        #expect(first == second)
        #expect(Set([first, second]).count == 1)
        #expect(first != first.with { $0.cooldownSeconds = 1 })
        #expect(MemoryLayout<AllocationRecord?>.size == MemoryLayout<Int>.size)
    }

    @Test func `texts that allocations have in common are kept once`() throws {
        let strings = StringPool()
        for number in 0..<100 {
            let text = Self.full.split(separator: "10.0.0.7", omittingEmptySubsequences: false)
                .joined(separator: "10.0.0.\(number)").split(separator: "m1", omittingEmptySubsequences: false)
                .joined(separator: "0123456789abcdef0123456789abcdef")
            _ = try AllocationRecord(try JSON(parsing: text), sharing: strings)
        }
        #expect(strings.count == 1)
    }

    @Test func `a pool of strings gives back equal texts and does not grow for ever`() {
        let strings = StringPool()
        for number in 0..<(StringPool.maximumCount + 10) {
            let text = "a text that is longer than \(number)"
            #expect(strings.shared(text) == text)
        }
        #expect(strings.count == 10)
        #expect(strings.shared("short") == "short")
        #expect(strings.count == 10)
    }
}
