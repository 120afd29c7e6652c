import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1: what is written where, what is validated when, and the codes of errors.
@Suite("CNI: answers and error codes", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceErrorTests {
    // MARK: Invocation, lines 5 and 6

    @Test func `Invocation 5: stdout has the result or the error alone, the logs are on stderr and in the file`()
        async throws
    {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(added.process.outputText == "\(added.result ?? nil)\n")
            let line = try #require(added.process.errorText.split(separator: "\n").last)
            #expect(line.contains("msg=ADD") && line.contains(sandbox.containerID))
            #expect(rig.node.log.contains(line))

            let missing = rig.node.configuration(pools: [rig.subnets.name("none")])
            let failed = try await rig.node.add(try rig.node.newSandbox(), missing)
            try expectFailure(failed, code: 100)
            #expect(failed.process.outputText == "\(failed.output ?? nil)\n")
            #expect(failed.process.errorText.contains("level=error"))
            #expect(rig.node.log.contains(failed.process.errorText))

            expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: added))
            expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
        }
    }

    @Test(arguments: cniVersions)
    func `Invocation 5: an error carries the version of the configuration`(version: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [rig.subnets.name("none")], version: version)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 100, version: version)
        }
    }

    /// A configuration that is wrong in one place, and what the error must name.
    struct Mistake: Sendable, CustomTestStringConvertible {
        var ipam: JSON = [:]
        var members: JSON = [:]
        var version = "1.1.0"
        var arguments: String?
        let code: Int
        let says: [String]

        var testDescription: String { "\(ipam) \(members) \(arguments ?? "")" }
    }

    static let mistakes: [Mistake] = [
        // Of the wrong JSON type.
        Mistake(ipam: ["pools": "blue"], code: 6, says: ["ipam.pools", "expected a list"]),
        Mistake(ipam: ["pools": [1]], code: 6, says: ["ipam.pools", "expected a string"]),
        Mistake(ipam: ["range": 5], code: 6, says: ["ipam.range", "expected a string"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "exclude": "10.9.0.1"], code: 6, says: ["ipam.exclude"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "ipRanges": [1]], code: 6, says: ["ipam.ipRanges"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "addresses": ["10.9.0.5/24"]], code: 6, says: ["ipam.addresses"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "routes": [["dst": 1]]], code: 6, says: ["ipam.routes[0].dst"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "dns": ["nameservers": "a"]], code: 6, says: ["ipam.dns.nameservers"]),
        Mistake(ipam: ["pools": ["blue"], "kubeconfig": 1], code: 6, says: ["ipam.kubeconfig"]),
        Mistake(ipam: ["pools": ["blue"], "timeoutSeconds": "1"], code: 6, says: ["ipam.timeoutSeconds"]),
        Mistake(ipam: ["pools": ["blue"], "configDir": 1], code: 6, says: ["ipam.configDir"]),
        Mistake(ipam: ["pools": ["blue"]], members: ["runtimeConfig": []], code: 6, says: ["runtimeConfig"]),
        Mistake(ipam: ["pools": ["blue"]], members: ["args": ["cni": ["ips": 1]]], code: 6, says: ["args.cni.ips"]),
        Mistake(members: ["ipam": []], code: 6, says: ["ipam", "expected an object"]),
        // Of the right type and no sense.
        Mistake(members: ["ipam": .null], code: 7, says: ["ipam", "missing"]),
        Mistake(ipam: ["pool": "blue"], code: 7, says: ["ipam.pool: unknown", "\"pools\""]),
        Mistake(ipam: ["subnet": "10.9.0.0/24"], code: 7, says: ["ipam.subnet: unknown", "pools", "blue-v4"]),
        Mistake(ipam: ["pools": []], code: 7, says: ["ipam.pools", "is empty"]),
        Mistake(ipam: ["families": ["IPv5"]], code: 7, says: ["ipam.families"]),
        Mistake(ipam: ["pools": ["Blue"]], code: 7, says: ["ipam.pools[0]", "\"Blue\""]),
        Mistake(ipam: ["pools": ["a", "../b"]], code: 7, says: ["ipam.pools[1]", "\"../b\""]),
        Mistake(ipam: ["pools": ["a", "a"]], code: 7, says: ["ipam.pools[1]", "\"a\"", "twice"]),
        Mistake(ipam: ["pools": ["a"], "range": "10.9.0.0/24"], code: 7, says: ["ipam.pools", "range"]),
        Mistake(ipam: ["pools": ["a"], "gateway": "10.9.0.1"], code: 7, says: ["ipam.gateway", "spec.gateway"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "gateway": "10.9"], code: 7, says: ["ipam.gateway", "10.9"]),
        Mistake(ipam: ["range": "10.9.0.0/24", "network_name": "9a"], code: 7, says: ["ipam.network_name", "\"9a\""]),
        Mistake(
            ipam: ["range": "10.9.0.0/24", "routes": [["dst": "10.8.0.1/24"]]], code: 7,
            says: ["ipam.routes[0].dst", "10.8.0.1/24"]),
        Mistake(
            ipam: ["range": "10.9.0.0/24", "routes": [["dst": "10.8.0.0/24", "gw": "::1"]]], code: 7,
            says: ["ipam.routes[0].gw", "::1"]),
        Mistake(
            ipam: ["range": "10.9.0.0/24", "routes": [["dst": "10.8.0.0/24", "mtu": -1]]], code: 7,
            says: ["ipam.routes[0].mtu", "-1"]),
        Mistake(ipam: ["pools": ["a"], "timeoutSeconds": 0], code: 7, says: ["ipam.timeoutSeconds", "1 and 120"]),
        Mistake(ipam: ["pools": ["a"], "timeoutSeconds": 121], code: 7, says: ["ipam.timeoutSeconds", "121"]),
        Mistake(ipam: ["pools": ["a"], "logLevel": "loud"], code: 7, says: ["ipam.logLevel", "\"loud\"", "debug"]),
        Mistake(
            ipam: ["pools": ["a"]], members: ["runtimeConfig": ["ips": ["10.9.0.300"]]], code: 7,
            says: ["runtimeConfig.ips[0]", "10.9.0.300"]),
        Mistake(
            ipam: ["pools": ["a"]], members: ["runtimeConfig": ["ips": ["10.9.0.3", "10.9.0.3/24"]]], code: 7,
            says: ["runtimeConfig.ips", "10.9.0.3", "twice"]),
        Mistake(
            ipam: ["pools": ["a"]], members: ["args": ["cni": ["ips": ["10.9.0.03"]]]], code: 7,
            says: ["args.cni.ips[0]", "10.9.0.03"]),
        Mistake(
            members: ["runtimeConfig": ["ipRanges": [[["subnet": "10.9.0.0/24", "rangeStart": "10.8.0.1"]]]]], code: 7,
            says: ["rangeStart", "10.8.0.1", "10.9.0.0/24"]),
        // What the version cannot express.
        Mistake(
            ipam: ["ipRanges": [["range": "10.9.0.0/24"], ["range": "10.8.0.0/24"]]], version: "0.2.0", code: 2,
            says: ["cniVersion", "0.2.0", "IPv4"]),
        Mistake(
            ipam: ["range": "fd09::/64", "addresses": [["address": "fd09::5/64"]]], version: "0.1.0", code: 2,
            says: ["cniVersion", "0.1.0", "IPv6"]),
        // The runtime's.
        Mistake(ipam: ["pools": ["a"]], arguments: "IP=10.9.0.x", code: 4, says: ["IP=10.9.0.x"]),
        Mistake(ipam: ["pools": ["a"]], arguments: "K8S_POD_NAMESPACE=a", code: 4, says: ["K8S_POD_NAME"]),
        Mistake(
            ipam: ["pools": ["a"]], arguments: "K8S_POD_NAME=a;K8S_POD_UID=u", code: 4, says: ["K8S_POD_NAMESPACE"]),
        Mistake(ipam: ["pools": ["a"]], arguments: "nonsense", code: 4, says: ["CNI_ARGS", "\"nonsense\""]),
    ]

    @Test(arguments: mistakes)
    func `Invocation 6: what can be validated is, before anything is asked of the API server`(
        mistake: Mistake
    ) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            var configuration = rig.node.configuration(
                version: mistake.version, ipam: mistake.ipam, members: mistake.members)
            if mistake.members["ipam"]?.isNull == true { configuration["ipam"] = nil }
            var sandbox = try rig.node.newSandbox()
            sandbox.ownArguments = mistake.arguments
            try expectFailure(
                try await rig.node.add(sandbox, configuration), code: mistake.code, says: mistake.says,
                version: mistake.version)
            #expect(proxy.connectionCount == 0)
            #expect(proxy.log.isEmpty)
        }
    }

    static let outputs = [
        "a full device": "exec \"$0\" >/dev/full",
        "a closed descriptor": "exec \"$0\" >&-",
        "a pipe without a reader":
            "mkfifo \"$1\"; exec 3<>\"$1\"; exec 4>\"$1\"; exec 3<&-; exec \"$0\" >&4 4>&-",
    ]

    @Test func `Invocation 6: what an earlier ADD returned is in use, and stays until a DEL`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)]
            let sandbox = try rig.node.newSandbox()
            let configuration = rig.node.configuration(pools: [pools[0]])
            let added = try await rig.node.add(sandbox, configuration).checked()
            // The second one has a family more.
            for pools in [[pools[0]], pools] {
                let outcome = try await rig.add(
                    sandbox, rig.node.configuration(pools: pools), writingTo: "a full device")
                #expect(outcome.ending == .exited(1) && !outcome.errorText.contains("undoing"), "\(outcome)")
                #expect(try await rig.states()[added.addresses[0]] == "Bound")
            }
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: outputs.keys.sorted())
    func `Invocation 6: a result that cannot be written is no success, and is undone`(output: String) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool("pool", ["ranges": [rig.range4(7...7)], "cooldown": "1h"])
            let sandbox = try rig.node.newSandbox()
            let outcome = try await rig.add(sandbox, rig.node.configuration(pools: [pool]), writingTo: output)
            #expect(outcome.ending == .exited(1), "\(outcome)")
            #expect(outcome.errorText.contains("undoing"), "\(outcome)")
            // It is not even in cooldown: nobody ever had the address.
            try await rig.expectNothingHeld()
        }
    }

    // MARK: Error codes

    static let overload: [(FaultAction, says: String)] = [
        (.tooManyRequests(retryAfterSeconds: 1), "429 TooManyRequests"),
        (.serviceUnavailable, "503 ServiceUnavailable"),
        (.internalError, "500 InternalError"),
        (.serverTimeout, "504 Timeout"),
    ]

    @Test(arguments: overload.indices)
    func `Error codes: 11 while the API server is overloaded, and nothing is claimed`(index: Int) async throws {
        let (action, says) = Self.overload[index]
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 7...7)
            let rule = proxy.when(.any, .always, action)
            let sandbox = try rig.node.newSandbox()
            let configuration = rig.node.configuration(pools: [pool])
            let impatient = rig.node.configuration(pools: [pool], ipam: ["timeoutSeconds": 3])
            try expectFailure(try await rig.node.add(sandbox, impatient), code: 11, says: [says])
            #expect(rule.hits > 0)
            try await rig.expectNothingHeld()
            rule.remove()
            #expect(try await rig.node.add(sandbox, configuration).checked().addresses == [rig.subnets.address4(7)])
        }
    }

    @Test func `Error codes: 11 when only the create is refused, and the other family is given back`() async throws {
        try await PluginRig.runThroughProxy(settings: ["timeoutSeconds": 15]) { rig, proxy in
            let pools = [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)]
            let configuration = rig.node.configuration(pools: pools)
            let name = "\(rig.subnets.prefix4).7"
            let rule = proxy.when(.verb("create", "ipallocations.ipam.berth.dev", named: name), .always, .internalError)
            let sandbox = try rig.node.newSandbox()
            try expectFailure(
                try await rig.node.add(sandbox, configuration), code: 11, says: ["create ipallocations", name, "500"])
            try await rig.expectNothingHeld()
            rule.remove()
            #expect(try await rig.node.add(sandbox, configuration).checked().addresses.count == 2)
        }
    }

    @Test func `Error codes: 11 for a pod that is gone or was replaced meanwhile, and nothing is claimed`() async throws
    {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let pod = try await rig.makePod()
            let old = try rig.node.newSandbox(pod: pod)
            let successor = try await rig.recreate(pod)
            try expectFailure(
                try await rig.node.add(old, configuration), code: 11,
                says: ["default/\(pod.name)", "replaced", pod.uid, successor.uid])
            try await rig.controlPlane.delete(successor)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(pod: successor), configuration), code: 11,
                says: ["default/\(pod.name)", "does not exist"])
            try await rig.expectNothingHeld()
        }
    }
}

extension PluginRig {
    /// An ADD whose standard output is one of `ConformanceErrorTests.outputs`.
    fileprivate func add(
        _ sandbox: TestSandbox, _ configuration: JSON, writingTo output: String
    ) async throws -> ProcessOutcome {
        let environment = [
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": sandbox.containerID, "CNI_NETNS": sandbox.netns,
            "CNI_IFNAME": "eth0", "PATH": "/usr/bin:/bin",
        ]
        let script = try #require(ConformanceErrorTests.outputs[output])
        return try await Command(
            "/bin/sh", ["-c", script, node.runner.executable, "\(node.folder)/pipe"], environment: environment,
            stdin: configuration.serialized()
        ).run()
    }
}
