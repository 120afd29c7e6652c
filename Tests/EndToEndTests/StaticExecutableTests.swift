import IPAMAPI
import JSONText
import TestSupport
import Testing

// The plugin as it is shipped runs on any Linux, whatever that has installed.
@Suite(
    "The static executable",
    .enabled(
        if: Environment.value("BERTH_TEST_PLUGIN") != nil || Environment.value("CI") != nil,
        "it needs the plugin as it is shipped: run hack/test.sh, or hack/build.sh and set BERTH_TEST_PLUGIN"),
    .timeLimit(.minutes(2)))
struct StaticExecutableTests {
    @Test func `it needs no shared object, and is not large`() async throws {
        let executable = try PluginRunner.berth().executable
        let kind = try await runChecked("file", ["--brief", "--dereference", executable])
        #expect(kind.contains("statically linked") || kind.contains("static-pie"), "hack/build.sh makes a static one")
        let megabyte = 1_000_000
        #expect(try Files.read(executable).count < 25 * megabyte)
    }

    @Test func `it tells its versions in a folder without anything but itself and proc`() async throws {
        try await withChroot { chroot in
            let answer = try await chroot.run(PluginCall("VERSION", configuration: ["cniVersion": "1.1.0"]))
            let versions = answer.output?["supportedVersions"]?.array ?? []
            #expect(versions.first == "0.1.0")
            #expect(versions.last == "1.1.0")
        }
    }

    @Test(.controlPlane) func `it claims and releases there`() async throws {
        try requireRoot()
        let controlPlane = try await ControlPlane.ready()
        let subnets = Subnets.next()
        let pools = [subnets.name("v4"), subnets.name("v6")]
        try await controlPlane.makePool(pools[0], ["subnet": .string(subnets.subnet4), "cooldown": "0s"])
        try await controlPlane.makePool(pools[1], ["subnet": .string(subnets.subnet6), "cooldown": "0s"])
        try await withTestNode(controlPlane) { node in
            try await withChroot { chroot in
                // The node's files, under the same paths.
                try await runChecked("mkdir", ["--parents", chroot.folder + node.folder])
                try await runChecked("cp", ["--archive", "\(node.folder)/.", chroot.folder + node.folder])
                let sandbox = try node.newSandbox()
                let configuration = node.configuration(pools: pools)

                let added = try await chroot.run(node.call("ADD", sandbox, configuration))
                #expect(added.addresses.count == 2)
                for address in added.addresses {
                    let allocation = try await controlPlane.allocation(address)
                    #expect(allocation?.spec.attachment == sandbox.attachment())
                }
                // No message of a library that lacked a file.
                #expect(!added.process.errorText.contains("level=warning"))
                #expect(!Files.exists(node.journal))

                try await chroot.run(node.call("DEL", sandbox, configuration))
                for address in added.addresses { #expect(try await controlPlane.allocation(address) == nil) }
            }
        }
        try await controlPlane.removePools(pools)
    }
}

/// A folder that is the whole file system to the plugin in it.
private struct Chroot: Sendable {
    let folder: String

    /// The mount of /proc is in a mount namespace of its own, and goes with it.
    @discardableResult
    func run(_ call: PluginCall) async throws -> PluginOutcome {
        let script = #"mount -t proc proc "$0/proc" && exec chroot "$0" /berth"#
        var environment = call.variables
        environment["PATH"] = Environment.value("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return try await PluginOutcome(
            TestSupport.run(
                "unshare", ["--mount", "sh", "-c", script, folder], environment: environment, stdin: call.stdin)
        ).checked()
    }
}

private func withChroot(_ body: (Chroot) async throws -> Void) async throws {
    try requireRoot()
    let berth = try PluginRunner.berth().executable
    try await Files.withTemporaryFolder("chroot") { folder in
        try Files.makeFolder("\(folder)/proc")
        try await runChecked("cp", [berth, "\(folder)/berth"])
        try await body(Chroot(folder: folder))
    }
}

extension PluginCall {
    /// The environment of the call without CNI_PATH, which the plugin does not need.
    fileprivate var variables: [String: String] {
        let variables = [
            "CNI_COMMAND": command, "CNI_CONTAINERID": containerID, "CNI_NETNS": netns, "CNI_IFNAME": interface,
            "CNI_ARGS": arguments,
        ]
        return variables.compactMapValues(\.self)
    }
}
