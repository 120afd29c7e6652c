import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// The executable as a person runs it, on a real API server.
@Suite("kubectl berth", .controlPlane, .timeLimit(.minutes(3)))
struct CommandTests {
    // MARK: status, free, wait

    @Test func `status counts where no controller does, and follows the controller where one does`() async throws {
        try await ConsoleRig.run(["subnet": "10.77.0.0/30"]) { rig in
            let node = try await rig.makeNode()
            try await rig.makePool(rig.subnets.name("other"))
            let pod = try await rig.makePod("a", on: node)
            try await rig.enter(7, pool: rig.subnets.name("other"), node: node, pod: pod)
            let counted = try await rig.answer(["status", rig.subnets.name("other")])
            #expect(counted.status == 0)
            #expect(counted.json["pools"]?.array?.first?["allocated"] == 1)
            #expect(counted.json["pools"]?.array?.first?["free"] == 253)
            #expect(counted.json["pools"]?.array?.first?["source"] == "counted")

            let generation = try await rig.controlPlane.withAdmin {
                try $0.get(.ipPools, name: rig.pool, deadline: .soon)["metadata"]?["generation"]?.int ?? 0
            }
            try await rig.patchStatus(
                .ipPools, rig.pool,
                [
                    "allocated": 2, "cooling": 0, "held": 0, "free": 0, "capacity": 2,
                    "observedGeneration": .int(generation),
                    "conditions": [
                        [
                            "type": "Ready", "status": "True", "reason": "Serving", "message": "m",
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        ]
                    ],
                ])
            let outcome = try await rig.kubectlBerth(["status", rig.pool, rig.subnets.name("other")])
            let lines = outcome.outputText.split(separator: "\n")
            #expect(lines[1].hasPrefix(rig.pool) && lines[1].contains("██████████ 100%"))
            #expect(lines[1].hasSuffix("Exhausted"))
            #expect(lines[2].contains("<1%"))
            #expect(outcome.outputText.contains("IPPool \(rig.pool) is exhausted: none of 2 addresses is free"))

            let waited = try await rig.kubectlBerth(["wait", rig.pool, "--for=condition=Ready", "--timeout=20s"])
            #expect(waited.outputText == "IPPool \(rig.pool): condition=Ready=True\n")
            let vain = try await rig.kubectlBerth(["wait", rig.pool, "--for=free=1", "--timeout=0s"])
            #expect(vain.ending == .exited(1))
            #expect(vain.errorText == "IPPool \(rig.pool) is not free=1 after 0s: 0 addresses are free\n")
        }
    }

    @Test func `free, who, status and explain know what is reserved, by what and for what, without a controller too`()
        async throws
    {
        try await ConsoleRig.run { rig in
            let (first, last) = (rig.subnets.address4(1), rig.subnets.address4(252))
            let routers = try await rig.reserve(
                "routers", ["ranges": [.string("\(first)-\(last)")], "reason": "routers"])
            let egress = try await rig.reserve(
                "egress", ["ranges": [.string(rig.subnets.address4(253))], "purpose": "egress"])
            let free = try await rig.answer(["free", rig.pool])
            #expect(free.json["free"] == 1)
            #expect(free.json["reserved"] == 253)
            #expect(free.json["ranges"]?.array?.first?["from"]?.string == rig.subnets.address4(254))
            let status = try await rig.answer(["status", rig.pool])
            #expect(status.json["pools"]?.array?.first?["reserved"] == 253)

            let who = try await rig.kubectlBerth(["who", first])
            #expect(
                who.outputText
                    == "\(first) is reserved in IPPool \(rig.pool) by IPReservation \(routers) (\"routers\")\n")
            let other = try await rig.kubectlBerth(["who", rig.subnets.address4(253)])
            #expect(other.outputText.contains("by IPReservation \(egress), for the purpose \"egress\""))

            let node = try await rig.makeNode()
            let plain = try await rig.makePod("plain", on: node)
            let named = try await rig.makePod("named", on: node, annotations: ["ipam.berth.dev/purpose": "egress"])
            let ordinary = try await rig.kubectlBerth(["explain", plain.name, "--pools", rig.pool])
            #expect(ordinary.outputText.contains("1 of 1 addresses are free; 253 more are reserved"), "\(ordinary)")
            let explained = try await rig.kubectlBerth(["explain", named.name, "--pools", rig.pool])
            #expect(explained.outputText.contains("It names the purpose \"egress\""), "\(explained)")
            #expect(
                explained.outputText.contains("1 of 1 addresses reserved for the purpose \"egress\" are free"),
                "\(explained)")
            #expect(explained.outputText.contains(rig.subnets.address4(253)), "\(explained)")
        }
    }

    @Test func `free tells the ranges that are left, whatever pool took the others`() async throws {
        try await ConsoleRig.run { rig in
            let overlapping = rig.subnets.name("overlapping")
            try await rig.makePool(overlapping)
            try await rig.enter(7, pool: overlapping, node: "n", pod: nil, origin: .container)
            let outcome = try await rig.kubectlBerth(["free", rig.pool, "-o", "name"])
            #expect(
                outcome.outputText
                    == "\(rig.subnets.address4(1))-\(rig.subnets.address4(6))\n"
                    + "\(rig.subnets.address4(8))-\(rig.subnets.address4(254))\n")
            let limited = try await rig.answer(["free", rig.pool, "--limit=1"])
            #expect(limited.json["ranges"]?.array?.count == 1)
            #expect(limited.json["rangeCount"] == 2)
            #expect(limited.json["free"] == 253)
            let unknown = try await rig.kubectlBerth(["free", "no-such-pool"])
            #expect(unknown.ending == .exited(2))
            #expect(unknown.errorText.hasPrefix("error: there is no IPPool \"no-such-pool\"\n"))
        }
    }

    @Test func `wait sees an allocation go`() async throws {
        try await ConsoleRig.run { rig in
            let name = try await rig.enter(7, node: "n", pod: nil, origin: .container)
            async let waiting = rig.kubectlBerth(["wait", rig.subnets.address4(7), "--for=gone", "--timeout=30s"])
            let bound = try await rig.kubectlBerth(["wait", rig.subnets.address4(7), "--for=state=Bound"])
            #expect(bound.succeeded)
            try await rig.controlPlane.withAdmin {
                _ = try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
            }
            #expect(try await waiting.outputText == "allocation \(name): gone\n")
        }
    }

    @Test func `wait sees who has an address in another network`() async throws {
        try await ConsoleRig.run(["network": "red"]) { rig in
            let address = rig.subnets.address4(7)
            let name = try await rig.enter(7, node: "n", pod: nil, origin: .container, network: "red")
            let vain = try await rig.kubectlBerth(["wait", address, "--for=gone", "--timeout=0s"])
            #expect(vain.ending == .exited(1))
            #expect(vain.errorText == "allocation \(address) is not gone after 0s: \(name) exists\n")
            let elsewhere = try await rig.kubectlBerth(["wait", "ipallocation/\(address)", "--for=gone"])
            #expect(elsewhere.succeeded, "\(elsewhere)")
            let bound = try await rig.kubectlBerth(["wait", address, "--for=state=Bound", "--timeout=20s"])
            #expect(bound.outputText == "allocation \(name): state=Bound\n", "\(bound)")

            let other = rig.subnets.name("other")
            try await rig.makePool(other)
            let second = try await rig.enter(7, pool: other, node: "n", pod: nil, origin: .container)
            let unclear = try await rig.kubectlBerth(["wait", address, "--for=state=Bound"])
            #expect(unclear.ending == .exited(2))
            #expect(
                unclear.errorText == """
                    error: \(address) is in more than one network
                      → name one: ipallocation/\(second), ipallocation/\(name)

                    """)
            for name in [name, second] {
                try await rig.controlPlane.withAdmin {
                    _ = try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                }
            }
            let gone = try await rig.kubectlBerth(["wait", address, "--for=gone", "--timeout=20s"])
            #expect(gone.outputText == "allocation \(address): gone\n", "\(gone)")
        }
    }

    // MARK: who

    @Test func `who finds the holder by address, pod and node`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node, reporting: [rig.subnets.address4(7)])
            let name = try await rig.enter(7, node: node, pod: pod)
            let byAddress = try await rig.answer(["who", rig.subnets.address4(7)])
            #expect(byAddress.status == 0)
            let holder = try #require(byAddress.json["holders"]?.array?.first)
            #expect(holder["name"]?.string == name)
            #expect(holder["pod"]?["name"]?.string == pod.name)
            #expect(holder["why"] == "the pod is there")
            #expect(holder["problems"] == nil)
            for subject in [
                pod.name, "default/\(pod.name)", "pod/\(pod.name)", node, "node/\(node)",
                "\(rig.subnets.address4(7))/24",
            ] {
                let found = try await rig.kubectlBerth(["who", subject, "-n", "default", "-o", "name"])
                #expect(found.outputText == "ipallocation.ipam.berth.dev/\(name)\n", "\(subject)")
            }
            let nobody = try await rig.kubectlBerth(["who", rig.subnets.address4(8)])
            #expect(nobody.ending == .exited(1))
            #expect(nobody.outputText == "\(rig.subnets.address4(8)) is free in IPPool \(rig.pool)\n")
            let outside = try await rig.kubectlBerth(["who", "192.0.2.77"])
            #expect(outside.outputText == "192.0.2.77 is in the subnet of no pool\n")
        }
    }

    @Test func `who looks into every network, and IPv6 may be spelled in any way`() async throws {
        try await ConsoleRig.run(["network": "red"]) { rig in
            let name = try await rig.enter(7, node: "n", pod: nil, origin: .container, network: "red")
            let found = try await rig.kubectlBerth(["who", rig.subnets.address4(7), "-o", "name"])
            #expect(found.outputText == "ipallocation.ipam.berth.dev/\(name)\n")
            let elsewhere = try await rig.kubectlBerth(["who", rig.subnets.address4(7), "--network", ""])
            #expect(elsewhere.ending == .exited(1))

            let six = rig.subnets.name("six")
            try await rig.makePool(six, ["subnet": .string(rig.subnets.subnet6)])
            let address = try IPAddress(parsing: rig.subnets.address6(0xA7))
            try await rig.enter(8, pool: six, node: "n", pod: nil, origin: .container) { object in
                object["metadata"]?["name"] = .string(address.objectName)
                object["spec"]?["address"] = .string("\(address)")
            }
            let shouted = "\(address)".uppercased()
            for text in ["\(address)", shouted, "[\(address)]", address.objectName, "\(address)/64"] {
                let found = try await rig.kubectlBerth(["who", text, "-o", "name"])
                #expect(found.outputText == "ipallocation.ipam.berth.dev/\(address.objectName)\n", "\(text)")
            }
        }
    }

    // MARK: explain

    @Test func `explain follows a configuration, and says what it took`() async throws {
        try await ConsoleRig.run(["strategy": "Sequential"]) { rig in
            let off = rig.subnets.name("off")
            try await rig.makePool(off, ["disabled": true])
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            try await rig.enter(1, node: node, pod: pod)
            let explained = try await rig.kubectlBerth([
                "explain", pod.name, "-n", "default", "--pools", "\(off),\(rig.pool)",
            ])
            #expect(
                explained.outputText == """
                    Pod default/\(pod.name)
                      has \(rig.subnets.address4(1)) on eth0 of \(rig.pool), Bound
                      (a new sandbox gets addresses of its own; this is what one would get)

                    pools \(off), \(rig.pool) (--pools)
                      IPv4
                        1. \(off)   skipped: is disabled (spec.disabled)
                        2. \(rig.pool)       chosen: 253 of 254 addresses are free
                        → \(rig.subnets.address4(2)) of \(rig.pool)

                    """)
            try await Files.withTemporaryFolder { folder in
                let list = """
                    {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge",
                    "ipam": {"type": "berth", "pools": ["\(off)"]}}]}
                    """
                try Files.write("\(folder)/n.conflist", list)
                let answer = try await rig.answer([
                    "explain", pod.name, "-n", "default", "--config", "\(folder)/n.conflist",
                ])
                #expect(answer.status == 1)
                #expect(answer.json["served"] == false)
                #expect(
                    answer.json["networks"]?.array?.first?["refusal"]?.string
                        == "no IPv4 pool can serve interface eth0 on node \"\(pod.node)\": IPPool \"\(off)\" is"
                        + " disabled (spec.disabled)")
            }
            let unknown = try await rig.kubectlBerth(["explain", pod.name, "-n", "default"])
            #expect(unknown.ending == .exited(2))
            #expect(unknown.errorText.contains("give the node's with --config"))
        }
    }

    @Test func `explain follows the pod's annotation to the objects of Multus`() async throws {
        try await ConsoleRig.run(["strategy": "Sequential"]) { rig in
            try await ControlPlane.networkAttachmentDefinitions.value
            for (suffix, ipam) in [
                ("ours", #"{"type": "berth", "pools": ["\#(rig.pool)"]}"#), ("theirs", #"{"type": "host-local"}"#),
            ] {
                let config: JSON = .string(#"{"cniVersion": "1.0.0", "type": "macvlan", "ipam": \#(ipam)}"#)
                try await rig.controlPlane.apply([
                    "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                    "metadata": ["name": .string(rig.subnets.name(suffix)), "namespace": "default"],
                    "spec": ["config": config],
                ])
            }
            let (ours, theirs) = (rig.subnets.name("ours"), rig.subnets.name("theirs"))
            let pod = try await rig.makePod(
                "web", on: "n", annotations: ["k8s.v1.cni.cncf.io/networks": "\(theirs), \(ours)@eth7"])
            let outcome = try await rig.kubectlBerth(["explain", "default/\(pod.name)"])
            #expect(
                outcome.outputText == """
                    Pod default/\(pod.name)
                      NetworkAttachmentDefinition default/\(theirs) (interface net1) takes its addresses from host-local, not from berth.

                    NetworkAttachmentDefinition default/\(ours) (interface eth7)
                      IPv4
                        1. \(rig.pool)   chosen: 254 of 254 addresses are free
                        → \(rig.subnets.address4(1)) of \(rig.pool)

                    """)
            let missing = try await rig.makePod(
                "lost", on: "n", annotations: ["k8s.v1.cni.cncf.io/networks": "no-such-network"])
            let failed = try await rig.kubectlBerth(["explain", "default/\(missing.name)"])
            #expect(failed.ending == .exited(2))
            #expect(failed.errorText.contains("default/no-such-network (interface net1) does not exist"))
        }
    }

    // MARK: release

    @Test func `release refuses what a live pod has, and is conditional`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let name = try await rig.enter(7, node: node, pod: pod, cooldown: 10)
            let refused = try await rig.kubectlBerth(["release", rig.subnets.address4(7), "--yes"])
            #expect(refused.ending == .exited(2))
            #expect(
                refused.errorText == """
                    error: refused to release \(name): pod default/\(pod.name) on node \(node) is there and may use it
                      → --force overrides

                    """)
            let unconfirmed = try await rig.kubectlBerth(["release", name, "--force"])
            #expect(unconfirmed.ending == .exited(2))
            #expect(unconfirmed.errorText.contains("confirm with --yes"))
            #expect(try await rig.read(name).spec.state == .bound)

            let forced = try await rig.kubectlBerth(["release", name, "--force", "--yes"])
            #expect(forced.outputText == "released \(name): it rests for 10s\n")
            let cooling = try await rig.read(name)
            #expect(cooling.spec.state == .cooling && cooling.spec.attachment == nil)
            #expect(cooling.metadata.labels[LabelKey.attachment] == nil)

            let again = try await rig.kubectlBerth(["release", name, "--yes"])
            #expect(again.outputText == "released \(name): it is free\n")
            #expect(try await !rig.exists(name))
            #expect(try await rig.kubectlBerth(["release", name, "--yes"]).ending == .exited(2))
        }
    }

    @Test func `release needs force for a pod that ended a moment ago`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let name = try await rig.enter(7, node: node, pod: pod)
            try await rig.controlPlane.delete(pod)
            let refused = try await rig.kubectlBerth(["release", name, "--yes"])
            #expect(refused.ending == .exited(2))
            #expect(
                refused.errorText == """
                    error: refused to release \(name): the pod is deleted, for all that is known since a moment ago, and \
                    its sandbox may still run: berth-controller frees it after its grace period
                      → wait for that, or run `kubectl berth check --fix`, which looks twice; --force overrides

                    """)
            #expect(try await rig.read(name).spec.state == .bound)
            let forced = try await rig.kubectlBerth(["release", name, "--yes", "--force"])
            #expect(forced.outputText == "released \(name): it is free\n", "\(forced)")
        }
    }

    // MARK: version, errors

    @Test func `version of a server that cannot be reached is that of the client, and an error`() async throws {
        try await ConsoleRig.run { rig in
            try await Files.withTemporaryFolder { folder in
                try await withFaultProxy { proxy in
                    let config = try await rig.kubeconfig(of: "berth-viewer", in: folder, through: proxy)
                    // Nobody listens on its port any more.
                    await proxy.suspend()
                    let outcome = try await rig.kubectlBerth(["version"], environment: ["KUBECONFIG": config])
                    #expect(outcome.ending == .exited(2))
                    #expect(
                        outcome.outputText.split(separator: "\n").dropFirst().map { $0.prefix(13) } == [
                            "kubectl-berth"
                        ], "\(outcome)")
                    #expect(outcome.errorText.hasPrefix("error: "), "\(outcome)")
                    #expect(
                        outcome.errorText.hasSuffix(
                            "\n  → see whether the server answers: kubectl get --raw /readyz\n"), "\(outcome)")
                    try await proxy.resume()
                    #expect(proxy.log.isEmpty)
                    proxy.when(.any, .always, .dropBeforeForward())
                    let cut = try await rig.kubectlBerth(["version"], environment: ["KUBECONFIG": config])
                    #expect(cut.ending == .exited(2))
                    #expect(proxy.log.map(\.request.path) == ["/version"])
                }
            }
        }
    }

    @Test func `version without permission says what helps`() async throws {
        try await ConsoleRig.run { rig in
            try await Files.withTemporaryFolder { folder in
                // It reads the ledger, and nothing that has a version.
                let config = try await rig.kubeconfig(of: "berth-aggregate-to-view", in: folder)
                let outcome = try await rig.kubectlBerth(["version"], environment: ["KUBECONFIG": config])
                #expect(outcome.ending == .exited(2))
                #expect(outcome.outputText.contains("\nserver"), "\(outcome)")
                #expect(
                    outcome.errorText.hasSuffix("\n  → bind the ClusterRole berth-viewer to this user\n"), "\(outcome)")
            }
        }
    }

    @Test func `version shows each node's agent`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            try await rig.makeAgent(node, version: "0.0.9")
            let components = try await rig.answer(["version"]).json["components"]?.array ?? []
            let agent = components.first { $0["place"]?.string == node }
            #expect(agent?["name"] == "berth-node")
            #expect(agent?["version"] == "0.0.9")
            #expect(components.first?["version"]?.string == ProductVersion.text)
            let served = components.filter { $0["name"] == "custom resource" }.map { $0["version"]?.string }
            #expect(served == Array(repeating: "v1alpha1", count: 5))
            #expect(components.contains { $0["name"] == "server" && $0["version"]?.string?.hasPrefix("v1.") == true })
        }
    }

    @Test func `Errors name the thing, the cause and the remedy`() async throws {
        try await ConsoleRig.run { rig in
            let context = try await rig.kubectlBerth(["status", "--context", "nope"])
            #expect(context.ending == .exited(2))
            #expect(context.errorText.contains("no context is called \"nope\""))
            let usage = try await rig.kubectlBerth(["status", "--frobnicate"])
            #expect(usage.ending == .exited(2))
            #expect(usage.errorText.contains("Unknown option '--frobnicate'"))
            let none = try await rig.kubectlBerth(["status"], environment: ["KUBECONFIG": "/none", "HOME": "/none"])
            #expect(
                none.errorText == """
                    error: none of the files that KUBECONFIG names exists: /none
                      → set KUBECONFIG or --kubeconfig

                    """)
            let missing = try await rig.kubectlBerth(["status", "--kubeconfig", "/none"])
            #expect(missing.ending == .exited(2))
            #expect(
                missing.errorText == """
                    error: /none: cannot be read: No such file or directory
                      → set KUBECONFIG or --kubeconfig

                    """)
            let subject = try await rig.kubectlBerth(["who", "a/b/c"])
            #expect(subject.errorText.contains("→ write 10.0.0.7"))
            let address = try await rig.kubectlBerth(["who", "10.19.120.300"])
            #expect(address.ending == .exited(2))
            #expect(
                address.errorText.hasPrefix(
                    "error: \"10.19.120.300\" is not an IP address: octet \"300\" is above 255\n  → write 10.0.0.7"),
                "\(address)")
        }
    }

    @Test func `A credential plugin logs in`() async throws {
        try await ConsoleRig.run { rig in
            let token = try await rig.controlPlane.token(of: .admin)
            try await Files.withTemporaryFolder { folder in
                let login = "\(folder)/login"
                let credential = """
                    {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                    "status": {"token": "\(token)"}}
                    """
                try Files.write(login, "#!/bin/sh\ncat <<'END'\n\(credential)\nEND\n", mode: 0o700)
                let admin = try rig.controlPlane.adminConfiguration()
                let config: JSON = [
                    "clusters": [
                        [
                            "name": "c",
                            "cluster": [
                                "server": .string(admin.server.url),
                                "certificate-authority-data": .string(Base64.encode(admin.caPEM ?? [])),
                            ],
                        ]
                    ],
                    "users": [
                        [
                            "name": "u",
                            "user": [
                                "exec": [
                                    "apiVersion": "client.authentication.k8s.io/v1", "command": "./login",
                                    "interactiveMode": "Never",
                                ]
                            ],
                        ]
                    ],
                    "contexts": [["name": "x", "context": ["cluster": "c", "user": "u"]]], "current-context": "x",
                ]
                try Files.write("\(folder)/config", config.description)
                let outcome = try await rig.kubectlBerth(
                    ["free", rig.pool, "--limit=0"], environment: ["KUBECONFIG": "/none:\(folder)/config"])
                #expect(outcome.outputText.contains("254 of 254 addresses of IPPool \(rig.pool) are free"))
            }
        }
    }
}
