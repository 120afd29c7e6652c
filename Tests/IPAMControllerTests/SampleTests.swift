import IPAMAPI
import JSONText
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    /// The files of config/samples, as somebody applies them who tries them out.
    @Suite("Samples") struct SampleTests {
        private static let folder = "\(Repository.root)/config/samples"

        private struct Sample: Sendable {
            var kind: String
            var metadata: JSON
            var spec: JSON

            var name: String { metadata["name"]?.string ?? "" }
        }

        private static func samples(_ file: String) throws -> [Sample] {
            try ConfigFile.documents("samples/\(file)").map {
                Sample(kind: $0["kind"]?.string ?? "", metadata: $0["metadata"] ?? [:], spec: $0["spec"] ?? [:])
            }
        }

        @Test func `every sample is taken, its pools serve, its reservations are in force, and all of it can go`()
            async throws
        {
            let files = try Files.names(in: Self.folder).sorted()
            let samples = try files.flatMap(Self.samples)
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                try await rig.controlPlane.installKubeVirt()
                try await rig.controlPlane.installIPAMClaims()
                try await rig.controlPlane.installNetworkAttachmentDefinitions()
                // What is left when the test fails.
                rig.made.withLock { made in
                    made.pools += samples.filter { $0.kind == "IPPool" }.map(\.name)
                    made.reservations += samples.filter { $0.kind == "IPReservation" }.map(\.name)
                    made.claims += samples.filter { $0.kind == "IPClaim" }.map {
                        ClaimReference(namespace: "default", name: $0.name, uid: "")
                    }
                }
                for file in files {
                    // When to use it.
                    #expect(try Files.text("\(Self.folder)/\(file)").hasPrefix("# "), "\(file)")
                    let outcome = try await admission.kubectl([
                        "apply", "--validate=false", "-f", "\(Self.folder)/\(file)",
                    ])
                    #expect(outcome.succeeded, "\(file): \(outcome)")
                }
                for sample in samples { try await look(at: sample, rig) }
                try await remove(files, samples, admission)
            }
        }

        /// Waits until the controller says of it what it should.
        private func look(at sample: Sample, _ rig: ControllerRig) async throws {
            switch sample.kind {
            case "IPPool":
                let (isDraining, isDisabled) = (sample.spec["draining"] == true, sample.spec["disabled"] == true)
                let reason: JSON = isDraining ? "Draining" : isDisabled ? "Disabled" : "Serving"
                try await rig.ledger.waitForPool(sample.name, "\(reason)") { pool in
                    condition(pool, "Ready")?["reason"] == reason && condition(pool, "Exhausted")?["status"] == "False"
                        && condition(pool, "Consistent")?["status"] == "True"
                        && condition(pool, "Drained")?["status"] == (isDraining ? "True" : nil) && isCurrent(pool)
                }
            case "IPReservation":
                try await rig.ledger.waitForReservation(sample.name, "is in force") {
                    condition($0, "Enforced")?["status"] == "True"
                }
            case "IPClaim":
                let name = sample.name
                _ = try await rig.ledger.claims.wait(for: "\(name) is Ready", within: .seconds(120)) {
                    claims -> Bool? in
                    claims[name].flatMap { condition($0, "Ready") }?["status"] == "True" ? true : nil
                }
            case "IPBlock":
                let name = sample.name
                _ = try await rig.ledger.blocks.wait(for: name, within: .seconds(120)) { $0[name] }
            default: break
            }
        }

        /// Claims first: the webhook refuses to delete a pool as long as anything is kept in it.
        private func remove(_ files: [String], _ samples: [Sample], _ admission: AdmissionRig) async throws {
            let (rig, claims) = (admission.rig, "claims.yaml")
            let kept = samples.filter { $0.kind == "IPClaim" }.flatMap { $0.spec["addresses"]?.array ?? [] }
            for file in [claims] + files.filter({ $0 != claims }) {
                let outcome = try await admission.kubectl([
                    "delete", "--ignore-not-found", "--wait=false", "-f", "\(Self.folder)/\(file)",
                ])
                #expect(outcome.succeeded, "\(file): \(outcome)")
                guard file == claims else { continue }
                for address in kept.compactMap(\.string) { try await rig.ledger.waitForState(address, "Cooling") }
            }
            // Some wait for a cooldown.
            for sample in samples where sample.kind == "IPPool" {
                try await rig.ledger.waitUntilPoolIsGone(sample.name)
            }
            let left = try await admission.kubectl(
                ["get", "ippools,ipreservations,ipblocks", "-o", "name"]
            ).outputText
            for sample in samples {
                #expect(!left.split(separator: "\n").contains { $0.hasSuffix("/\(sample.name)") }, "\(left)")
            }
        }
    }
}
