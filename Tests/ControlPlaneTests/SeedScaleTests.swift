import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What users of whereabouts must find here where it takes many thousands of addresses.
@Suite("Seed: whereabouts, large ranges", .controlPlane, .timeLimit(.minutes(10)))
struct SeedScaleTests {
    @Test func `W5: more than 18,500 addresses of a range are no limit`() async throws {
        try await PluginRig.run(isAlone: true) { rig in
            let large = Subnets.nextLarge()
            let pool = try await rig.makePool("large", ["subnet": .string(large), "cooldown": "0s"])
            let configuration = rig.node.configuration(pools: [pool])
            // So that the journal is whole: it is made from all that there is.
            let early = try rig.node.newSandbox()
            try await rig.node.add(early, configuration).checked()
            expectSilentSuccess(try await rig.node.del(early, configuration))

            let prefix = large.split(separator: ".").prefix(2).joined(separator: ".")
            let taken = (1...18_600).map { "\(prefix).\($0 >> 8).\($0 & 0xFF)" }
            try await withTaken(taken, rig, pool, prefix: "\(prefix).") {
                #expect(try await rig.object(taken[18_599])?["spec"]?["pool"]?.string == pool)
                let sandboxes = try (0..<8).map { _ in try rig.node.newSandbox() }
                let added = try await concurrently(sandboxes) { try await rig.node.add($0, configuration).checked() }
                let given = Set(added.flatMap(\.addresses))
                #expect(given.count == 8)
                #expect(given.isDisjoint(with: taken))
                expectSilentSuccess(try await rig.node.status(configuration))
                for (sandbox, added) in zip(sandboxes, added) {
                    #expect(try await rig.object(added.addresses[0])?["spec"]?["state"]?.string == "Bound")
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                    #expect(try await rig.object(added.addresses[0]) == nil)
                }
            }
        }
    }

    /// Enters addresses of a pool into the ledger, for containers of another node, for as long as `body` runs.
    ///
    /// Straight into etcd, as the API server would: through it they would take minutes.
    ///
    /// - Parameter prefix: What the names of all of them begin with, and those of no others.
    private func withTaken(
        _ addresses: [String], _ rig: PluginRig, _ pool: String, prefix: String, _ body: () async throws -> Void
    ) async throws {
        let etcd = try Etcd(rig.controlPlane)
        let poolUID = try await rig.controlPlane.withAdmin {
            try $0.get(.ipPools, name: pool, deadline: .soon)["metadata"]?["uid"]?.string
        }
        let elsewhere = rig.subnets.name("elsewhere")
        let objects = try addresses.enumerated().map { index, address in
            let spec = IPAllocation.Spec(
                state: .bound, origin: .container, pool: pool, poolUID: poolUID ?? "",
                address: try IPAddress(parsing: address), network: "", node: elsewhere, machineID: elsewhere,
                attachment: IPAMAPI.Attachment(networkName: "net", containerID: address, interface: "eth0"), pod: nil,
                claim: nil, cooldownSeconds: 0, claimedAt: nil, releasedAt: nil)
            var object = spec.newObject()
            let digits = String(index, radix: 16)
            object["metadata"]?["uid"] =
                .string("00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits)
            object["metadata"]?["creationTimestamp"] = "2026-01-01T00:00:00Z"
            object["metadata"]?["generation"] = 1
            return (name: spec.objectName, object: object)
        }
        try await etcd.put(objects, in: "ipam.berth.dev/ipallocations")
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        // Also when the test was cancelled.
        try await Task.detached { try await etcd.removeAll("ipam.berth.dev/ipallocations", startingWith: prefix) }.value
        try result.get()
    }
}

/// The etcd of a control plane, by its JSON gateway.
private struct Etcd: Sendable {
    let controlPlane: ControlPlane
    let configuration: ClientConfiguration

    init(_ controlPlane: ControlPlane) throws {
        let variable = "export ETCD_URL="
        let lines = try Files.text("\(controlPlane.folder)/env").split(separator: "\n")
        let url = try #require(lines.first { $0.hasPrefix(variable) }).dropFirst(variable.count)
        self.controlPlane = controlPlane
        configuration = ClientConfiguration(server: try #require(ServerAddress(url: String(url))))
    }

    /// Keys as the API server makes them, unless its `--etcd-prefix` says otherwise.
    private func key(_ resource: String, _ name: String) -> [UInt8] { Array("/registry/\(resource)/\(name)".utf8) }

    func put(_ objects: [(name: String, object: JSON)], in resource: String) async throws {
        // etcd takes at most 128 operations in one transaction.
        let transactions = stride(from: 0, to: objects.count, by: 128).map { start -> JSON in
            let puts = objects[start..<min(start + 128, objects.count)].map { name, object -> JSON in
                [
                    "requestPut": [
                        "key": .string(Base64.encode(key(resource, name))),
                        "value": .string(Base64.encode(object.serialized())),
                    ]
                ]
            }
            return ["success": .array(puts)]
        }
        try await call("/v3/kv/txn", transactions)
    }

    func removeAll(_ resource: String, startingWith prefix: String) async throws {
        var end = key(resource, prefix)
        end[end.count - 1] += 1
        let range: JSON = [
            "key": .string(Base64.encode(key(resource, prefix))), "range_end": .string(Base64.encode(end)),
        ]
        try await call("/v3/kv/deleterange", [range])
    }

    private func call(_ path: String, _ bodies: [JSON]) async throws {
        try await controlPlane.withConnection(configuration) { connection in
            for body in bodies {
                let request = APIRequest(
                    method: .post, path: path, headers: [.init("Content-Type", "application/json")],
                    body: body.serialized(), subject: .init(verb: .create, resource: .ipAllocations))
                let response = try connection.perform([request], deadline: .soon)[0].get()
                try #require(response.status == 200, "\(String(decoding: response.body, as: UTF8.self))")
            }
        }
    }
}
