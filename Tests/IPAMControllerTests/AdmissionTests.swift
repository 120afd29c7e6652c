import ControllerHTTP
import IPAMAPI
import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    /// The API server asks the webhook about edits of pools, over TLS with the certificate that the controller made.
    @Suite("Admission") struct AdmissionTests {
        /// A spec, what the webhook says of it, and the rule of the custom resource that forbids it too.
        private static let invalid: [(spec: String, message: String, rule: String?)] = [
            (#"{"subnet": "192.0.2.9/24"}"#, "host bits", nil),
            (#"{"subnet": "192.0.2.0/24", "ranges": ["192.0.2.10-192.0.3.20"]}"#, "spec.ranges[0]", nil),
            (#"{"subnet": "192.0.2.0/24", "ranges": ["192.0.2.20-192.0.2.10"]}"#, "spec.ranges[0]", nil),
            (#"{"subnet": "192.0.2.0/24", "ranges": ["192.0.0.0/16"]}"#, "not within the subnet", nil),
            (#"{"subnet": "192.0.2.0/24", "exclude": ["198.51.100.1"]}"#, "spec.exclude[0]", nil),
            (#"{"subnet": "192.0.2.0/24", "gateway": "198.51.100.1"}"#, "spec.gateway", nil),
            (#"{"subnet": "192.0.2.0/24", "gateway": "192.0.2.255"}"#, "broadcast", nil),
            (#"{"subnet": "192.0.2.0/24", "ranges": ["192.0.2.0"]}"#, "leave none", nil),
            (
                #"{"subnet": "192.0.2.0/24", "routes": [{"dst": "fd00::/64"}]}"#, "spec.routes[0]",
                "dst of every route must be of the subnet's family"
            ),
            (#"{"subnet": "192.0.2.0/24", "routes": [{"dst": "10.0.0.1/8"}]}"#, "spec.routes[0]", nil),
            (
                #"{"subnet": "fd00:1::/64", "ranges": ["192.0.2.1"]}"#, "spec.ranges[0]",
                "ranges must be of the subnet's family"
            ),
        ]

        @Test
        func `K9: kubectl apply rejects an invalid range, a mask narrower than the range, and all that makes no sense`()
            async throws
        {
            try await AdmissionRig.run { admission in
                for (spec, message, rule) in Self.invalid {
                    let outcome = try await admission.apply("nonsense", try JSON(parsing: Array(spec.utf8)))
                    #expect(outcome.isRefused(saying: message, orByRule: rule), "\(spec): \(outcome)")
                }
                #expect(admission.rig.ledger.pools.value["nonsense"] == nil)
            }
        }

        @Test func `subnet and network never change, and what is in use is not taken out of a pool`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(0) + "/25")]])
                for host in 1...7 { try await rig.enter(host, pool: pool, node: "n1", origin: .manual) }
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 7 }
                for (patch, message, rule) in [
                    (
                        #"{"spec": {"subnet": "192.0.2.0/24", "ranges": null}}"#, "spec.subnet: immutable",
                        "the subnet of a pool never changes; make another pool"
                    ),
                    (
                        #"{"spec": {"network": "red"}}"#, "spec.network: immutable",
                        "the network of a pool never changes; make another pool"
                    ),
                    (
                        #"{"spec": {"exclude": ["\#(rig.subnets.address4(0))/29"]}}"#,
                        "would lose 7 addresses in use: \(rig.subnets.address4(1)) (entered by hand on n1)", nil
                    ),
                ] as [(String, String, String?)] {
                    let outcome = try await admission.kubectl(["patch", "ipp", pool, "--type=merge", "-p", patch])
                    #expect(outcome.isRefused(saying: message, orByRule: rule), "\(outcome)")
                }
                let refused = try await admission.kubectl(
                    ["patch", "ipp", pool, "--type=merge", "-p", #"{"spec": {"ranges": null}}"#])
                #expect(refused.succeeded, "\(refused)")
                let many = try await admission.kubectl([
                    "patch", "ipp", pool, "--type=merge", "-p",
                    #"{"spec": {"exclude": ["\#(rig.subnets.address4(0))/29"]}}"#,
                ])
                #expect(many.errorText.contains("and 2 more"), "\(many)")
            }
        }

        @Test
        func `K5: a claim for an address that another holds is refused, and what the plugin makes is not asked about`()
            async throws
        {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let pool = try await rig.makePool()
                let name = try await rig.enter(9, pool: pool, node: "n1", origin: .manual)
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 1 }
                func claim(_ suffix: String, _ spec: JSON, labels: JSON = [:]) async throws -> ProcessOutcome {
                    let object: JSON = [
                        "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPClaim",
                        "metadata": [
                            "name": .string(rig.subnets.name(suffix)), "namespace": "default", "labels": labels,
                        ], "spec": spec,
                    ]
                    return try await admission.kubectl(
                        ["create", "--dry-run=server", "--validate=false", "-f", "-"], stdin: object)
                }
                let free: JSON = .string(rig.subnets.address4(10))
                for (addresses, message) in [
                    ([.string(name)], "is taken: bound, node n1"), ([free, free], "there twice"),
                    (["203.0.113.9"], "no IPPool has it"),
                ] as [([JSON], String)] {
                    let outcome = try await claim("refused", ["addresses": .array(addresses)])
                    #expect(!outcome.succeeded && outcome.errorText.contains(message), "\(outcome)")
                }
                // Outside of the pools that the claim names: the address, and each pool with what it has.
                let outside: JSON = ["addresses": ["203.0.113.9"], "pools": [.string(pool)]]
                let outcome = try await claim("outside", outside)
                let message =
                    "spec.addresses[0]: 203.0.113.9 cannot be kept: IPPool \"\(pool)\" (\(rig.subnets.subnet4))"
                    + " does not contain it"
                #expect(!outcome.succeeded && outcome.errorText.contains(message), "\(outcome)")
                #expect(try await claim("allowed", ["addresses": [free]]).succeeded)
                let automatic = try await claim(
                    "automatic", ["addresses": [.string(name)]], labels: [LabelKey.automatic: "true"])
                #expect(automatic.succeeded, "\(automatic)")
            }
        }

        @Test func `C18: a pool that overlaps another of its network is taken with a warning`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let first = try await rig.makePool("first")
                try await rig.ledger.waitForPool(first, "is counted") { $0["status"]?["capacity"]?.int == 254 }
                let second = rig.subnets.name("second")
                rig.made.withLock { $0.pools.append(second) }
                let range = "\(rig.subnets.address4(10))-\(rig.subnets.address4(20))"
                let outcome = try await admission.apply(
                    second, ["subnet": .string(rig.subnets.subnet4), "ranges": [.string(range)]])
                #expect(outcome.succeeded, "\(outcome)")
                #expect(outcome.errorText.contains("Warning: overlaps pool \"\(first)\" (\(range))"), "\(outcome)")
            }
        }

        @Test func `selectors that no node meets, and blocks of no node, are taken with a warning`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let node = try await rig.makeNode()
                func apply(_ members: JSON) async throws -> ProcessOutcome {
                    var spec = members
                    spec["subnet"] = .string(rig.subnets.subnet4)
                    let name = rig.subnets.name("selecting")
                    rig.made.withLock { if !$0.pools.contains(name) { $0.pools.append(name) } }
                    return try await admission.apply(name, spec)
                }
                try await AdmissionRig.until("the node is known") {
                    try await !apply(["nodes": [.string(node)]]).errorText.contains("Warning")
                }
                for (members, warning) in [
                    (["nodes": ["no-such-*"]], "spec.nodes: \"no-such-*\" matches no node at present"),
                    (
                        ["nodeSelector": ["matchLabels": ["no-such": "label"]]],
                        "such labels at present: no node has the label no-such"
                    ),
                    (["nodeSubnets": ["203.0.113.0/24"]], "no node has an address in 203.0.113.0/24 at present"),
                ] as [(JSON, String)] {
                    let outcome = try await apply(members)
                    #expect(outcome.succeeded && outcome.errorText.contains("Warning: "), "\(outcome)")
                    #expect(outcome.errorText.contains(warning), "\(outcome)")
                }
                let block: JSON = [
                    "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPBlock",
                    "metadata": ["name": .string(rig.subnets.address4(0) + "-25")],
                    "spec": [
                        "pool": .string(rig.subnets.name("selecting")), "node": "no-such",
                        "cidr": .string(rig.subnets.address4(0) + "/25"),
                    ],
                ]
                let outcome = try await admission.kubectl(
                    ["create", "--dry-run=server", "--validate=false", "-f", "-"], stdin: block)
                #expect(outcome.errorText.contains("spec.node: there is no node \"no-such\""), "\(outcome)")
            }
        }

        @Test func `selectors that no namespace meets are taken with a warning`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let team = rig.subnets.name("team")
                try await rig.controlPlane.makeNamespace(team, labels: ["berth-test": team])
                let name = rig.subnets.name("selecting")
                rig.made.withLock { $0.pools.append(name) }
                func warnings(_ members: JSON) async throws -> String {
                    var spec = members
                    spec["subnet"] = .string(rig.subnets.subnet4)
                    let outcome = try await admission.apply(name, spec)
                    #expect(outcome.succeeded, "\(outcome)")
                    return outcome.errorText
                }
                let labels: JSON = ["matchLabels": ["berth-test": .string(team)]]
                try await AdmissionRig.until("the namespace is known") {
                    try await !warnings(["namespaces": [.string(team)], "namespaceSelector": labels])
                        .contains("Warning")
                }
                for (members, warning) in [
                    (["namespaces": ["no-such-*"]], "spec.namespaces: \"no-such-*\" matches no namespace at present"),
                    (
                        ["namespaceSelector": ["matchLabels": ["no-such": "label"]]],
                        "such labels at present: no namespace has the label no-such"
                    ),
                    (
                        ["namespaces": ["default"], "namespaceSelector": labels],
                        "no namespace meets namespaces and namespaceSelector together at present: it serves nobody"
                    ),
                ] as [(JSON, String)] {
                    let found = try await warnings(members)
                    #expect(found.contains("Warning: ") && found.contains(warning), "\(found)")
                }
            }
        }

        @Test func `a list of namespaces that fails refuses nothing and warns of nothing`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let request = AdmissionRequest(
                        uid: "1", operation: .create,
                        kind: .init(group: BerthAPI.group, version: "v1alpha1", kind: "IPPool"),
                        resource: .init(group: BerthAPI.group, version: "v1alpha1", resource: "ippools"),
                        name: "selecting",
                        object: [
                            "metadata": ["name": "selecting"],
                            "spec": ["subnet": .string(rig.subnets.subnet4), "namespaces": ["no-such"]],
                        ])
                    let warning = "spec.namespaces: \"no-such\" matches no namespace at present"
                    #expect(await running.controller.admission.decide(request) == .allowed(warnings: [warning]))
                    // The plugin may read one namespace and not list them; at port 1 nobody answers.
                    let forbidden = try await rig.controlPlane.configuration(as: .plugin)
                    var unreachable = forbidden
                    unreachable.server = ServerAddress(host: "127.0.0.1", port: 1)
                    for configuration in [forbidden, unreachable] {
                        let client = AsyncClient(try AsyncConnection(configuration))
                        let admission = PoolAdmission(running.controller.view, client)
                        #expect(await admission.decide(request) == .allowed())
                    }
                }
            }
        }

        @Test func `of two claims that ask for one address the second is refused, by name`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let pool = try await rig.makePool()
                let address: JSON = .string(rig.subnets.address4(40))
                let first = try await rig.makeClaim("first", ["addresses": [address]])
                try await rig.waitForClaim(first, "is kept") { $0.status.addresses.count == 1 }
                let object: JSON = [
                    "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPClaim",
                    "metadata": ["name": .string(rig.subnets.name("second")), "namespace": "default"],
                    "spec": ["addresses": [address], "pools": [.string(pool)]],
                ]
                let outcome = try await admission.kubectl(
                    ["create", "--dry-run=server", "--validate=false", "-f", "-"], stdin: object)
                #expect(!outcome.succeeded && outcome.errorText.contains("claim default/\(first.name)"), "\(outcome)")
            }
        }

        @Test func `a pool in use is deleted only by who insists, and then waits for its addresses`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let (pool, empty) = (try await rig.makePool(), try await rig.makePool("empty"))
                let name = try await rig.enter(10, pool: pool, node: "n", origin: .manual)
                for pool in [pool, empty] {
                    try await rig.ledger.waitForPool(pool, "has the finalizer") {
                        $0["metadata"]?["finalizers"]?.array?.isEmpty == false
                    }
                }
                let refused = try await admission.kubectl(["delete", "ipp", pool, "--wait=false"])
                #expect(!refused.succeeded)
                #expect(refused.errorText.contains("1 address in use: \(name)"), "\(refused)")
                #expect(refused.errorText.contains("kubectl annotate ippool \(pool) \(AnnotationKey.forceDelete)=true"))
                let free = try await admission.kubectl(["delete", "ipp", empty, "--wait=false"])
                #expect(free.succeeded, "\(free)")
                try await rig.ledger.waitUntilPoolIsGone(empty)
                try await rig.controlPlane.kubectl(["annotate", "ippool", pool, "\(AnnotationKey.forceDelete)=true"])
                let insisted = try await admission.kubectl(["delete", "ipp", pool, "--wait=false"])
                #expect(insisted.succeeded, "\(insisted)")
                try await rig.ledger.waitForPool(pool, "waits") { condition($0, "Ready")?["reason"] == "Deleting" }
                try await rig.controlPlane.kubectl(["delete", "ipa", name])
                try await rig.ledger.waitUntilPoolIsGone(pool)
            }
        }

        @Test func `when nobody answers, edits of pools wait, and neither pods nor inline pools do`() async throws {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                await admission.stopServer()
                let edit = try await admission.kubectl(
                    ["patch", "ipp", pool, "--type=merge", "-p", #"{"spec": {"disabled": true}}"#])
                #expect(!edit.succeeded)
                #expect(edit.errorText.contains("failed calling webhook"), "\(edit)")
                let inline = rig.subnets.name("inline")
                let made = try await admission.apply(
                    inline, ["subnet": .string(rig.subnets.subnet6)], labels: [LabelKey.inline: "true"])
                #expect(made.succeeded, "\(made)")
                // Claims, releases and the controller's own status never pass it.
                try await rig.waitForSentinel(pool: pool)
                try await rig.enter(10, pool: pool, node: node, origin: .manual)
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 1 }
            }
        }

        @Test func `a Secret with rubbish in it is replaced, and the webhook is believed all the while`() async throws {
            try await AdmissionRig.run { admission in
                let before = try await admission.waitForCertificates("the first certificate") {
                    !$0.certificate.isEmpty
                }
                try await admission.waitForTrust(in: before)
                try await admission.rig.patch(
                    .secrets, AdmissionRig.secret, ["data": ["tls.crt": "cnViYmlzaA==", "ca.key": "cnViYmlzaA=="]],
                    namespace: "berth-system")
                let replaced = Observed(false)
                async let asked = askUntil(replaced, admission)
                try await admission.waitForTrust(inOtherThan: before)
                let trusted = ContinuousClock.now
                let after = try await admission.waitForCertificates("a new certificate") {
                    $0.certificate.contains("BEGIN CERTIFICATE") && $0.certificate != before.certificate
                }
                // The API server has had the time to learn of the new authority. Both moments are seen a little late.
                #expect(ContinuousClock.now - trusted >= AdmissionRig.trustDelay / 2)
                // Those who still show the old certificate are believed too.
                #expect(after.authorities.hasSuffix(before.authorities) && after.authorities != before.authorities)
                try await admission.waitForTrust(in: after)
                try await AdmissionRig.until("the new certificate is shown") {
                    admission.source.current?.pem.isEmpty == false
                        && after.certificate.contains(admission.source.current?.pem ?? "none")
                }
                replaced.update { $0 = true }
                let refusals = try await asked
                #expect(!refusals.isEmpty && refusals.allSatisfy { $0.contains("denied the request") }, "\(refusals)")
                try await admission.waitUntilAsked()
            }
        }

        private func askUntil(_ end: Observed<Bool>, _ admission: AdmissionRig) async throws -> [String] {
            var refusals: [String] = []
            while !end.value {
                refusals.append(
                    try await AdmissionRig.refusal(admission.rig, dryRunOf: AdmissionRig.invalidPool) ?? "taken")
            }
            return refusals
        }

        @Test func `a Secret that was deleted is made anew, and a bundle that was spoilt is mended`() async throws {
            try await AdmissionRig.run { admission in
                let before = try await admission.waitForCertificates("the first certificate") {
                    !$0.certificate.isEmpty
                }
                try await admission.rig.controlPlane.kubectl(
                    ["delete", "-n", "berth-system", "secret", AdmissionRig.secret])
                let after = try await admission.waitForCertificates("another certificate") {
                    !$0.certificate.isEmpty && $0.certificate != before.certificate
                }
                try await admission.waitForTrust(in: after)
                try await admission.waitUntilAsked()
                let webhook = "[{\"op\": \"remove\", \"path\": \"/webhooks/0/clientConfig/caBundle\"}]"
                try await admission.rig.controlPlane.kubectl([
                    "patch", "validatingwebhookconfiguration", AdmissionRig.configuration, "--type=json", "-p", webhook,
                ])
                try await admission.waitForTrust(in: after)
                try await admission.waitUntilAsked()
            }
        }

        @Test func `a question that is not decided in time is answered all the same`() async throws {
            let endpoint = AdmissionEndpoint(within: .milliseconds(10)) { _ in
                // Until it is cancelled.
                try? await Task.sleep(for: .seconds(3600))
                return .allowed()
            }
            let review = """
                {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", \
                "operation": "DELETE", "kind": {"version": "v1", "kind": "K"}, \
                "resource": {"version": "v1", "resource": "ks"}, "oldObject": {}}}
                """
            let head = RequestHead(method: "POST", path: AdmissionEndpoint.path, contentType: "application/json")
            let reply = await endpoint.reply(to: head, body: Array(review.utf8))
            #expect(reply.status == 503)
            #expect(String(decoding: reply.body, as: UTF8.self) == "no decision within 10 ms\n")
        }
    }
}
