import Glibc
import IPAMAPI
import IPAddressing
import JSONText
import Synchronization
import TestSupport

/// What a test of the plugin under a real main plugin works with: a node and pools that nobody else has, network
/// namespaces that stand for containers, and devices of the host. Afterwards nothing of it is left.
final class EndToEndRig: Sendable {
    let controlPlane: ControlPlane
    /// Its calls go to the main plugin.
    let node: TestNode
    let subnets: TestSubnets
    /// The network configuration, but for its version.
    private let mainPlugin: String
    private let ipam: JSON
    private let made = Mutex(Made())

    private struct Made: Sendable {
        var pools: [String] = []
        var pods: [TestPod] = []
        var containers: [Container] = []
        var devices: [String] = []
    }

    /// Lends a rig.
    ///
    /// - Parameter ipam: More members of the `ipam` section.
    static func run<Answer>(
        under mainPlugin: String, through proxy: FaultProxy? = nil, ipam: JSON = [:],
        isolation: isolated (any Actor)? = #isolation, _ body: (EndToEndRig) async throws -> Answer
    ) async throws -> Answer {
        let rig = try await EndToEndRig(mainPlugin, proxy, ipam)
        let answer: Answer
        do {
            answer = try await body(rig)
        } catch {
            try? await rig.cleanUp()
            throw error
        }
        try await rig.cleanUp()
        return answer
    }

    private init(_ mainPlugin: String, _ proxy: FaultProxy?, _ ipam: JSON) async throws {
        try requireRoot()
        controlPlane = try await ControlPlane.ready()
        subnets = Subnets.next()
        self.mainPlugin = mainPlugin
        self.ipam = ipam
        node = try await TestNode(
            controlPlane, name: subnets.name("node"), through: proxy,
            runner: try PluginRunner.berth().under(mainPlugin))
    }

    /// Also when the test was cancelled.
    private func cleanUp() async throws {
        try await Task.detached { [self] in
            let made = made.withLock(\.self)
            for container in made.containers { try await container.remove() }
            for device in made.devices where Files.exists("/sys/class/net/\(device)") {
                try await runChecked("ip", ["link", "delete", device])
            }
            for pod in made.pods { try await controlPlane.delete(pod) }
            try await controlPlane.removePools(made.pools)
            try node.remove()
        }.value
    }

    // MARK: Making things

    /// A pool for each family, with a gateway and one more route, and returns their names.
    func makePools(_ families: [IPFamily] = [.v4, .v6], cooldown: String = "0s") async throws -> [String] {
        var names: [String] = []
        for family in families {
            let name = subnets.name(family == .v4 ? "v4" : "v6")
            let spec: JSON =
                switch family {
                case .v4:
                    [
                        "subnet": .string(subnets.subnet4), "gateway": .string(subnets.address4(1)),
                        "routes": [["dst": "198.18.0.0/15", "gw": .string(subnets.address4(2))]],
                    ]
                case .v6:
                    [
                        "subnet": .string(subnets.subnet6), "gateway": .string(subnets.address6(1)),
                        "routes": [["dst": "2001:db8::/32", "gw": .string(subnets.address6(2))]],
                    ]
                }
            var timed = spec
            timed["cooldown"] = .string(cooldown)
            made.withLock { $0.pools.append(name) }
            try await controlPlane.makePool(name, timed)
            names.append(name)
        }
        return names
    }

    /// A pod with one container, of which there is the network namespace.
    func makeContainer(_ suffix: String = "pod") async throws -> Container {
        let pod = try await controlPlane.makePod(subnets.name(suffix), node: node.name)
        made.withLock { $0.pods.append(pod) }
        let container = try await Container(try node.newSandbox(pod: pod))
        made.withLock { $0.containers.append(container) }
        return container
    }

    /// A name for a device of the host, which is removed at the end if there is one.
    func deviceName(_ suffix: String) -> String {
        // At most 15 bytes: t<process>-<number><suffix>.
        let name = subnets.name + suffix
        made.withLock { $0.devices.append(name) }
        return name
    }

    /// One end of a cable that is plugged in.
    func makeCable() async throws -> String {
        let (end, other) = (deviceName("a"), deviceName("b"))
        try await runChecked("ip", ["link", "add", end, "type", "veth", "peer", "name", other])
        for device in [end, other] { try await runChecked("ip", ["link", "set", device, "up"]) }
        return end
    }

    // MARK: Calls

    /// - Parameter members: More members of the configuration, as the main plugin wants them.
    func configuration(pools: [String], version: String = "1.0.0", _ members: JSON) -> JSON {
        var members = members
        members["type"] = .string(mainPlugin)
        return node.configuration(pools: pools, version: version, ipam: ipam, members: members)
    }

    /// The versions among these that the main plugin knows.
    func known(_ versions: [String]) async throws -> [String] {
        let answer = try await node.runner.run(PluginCall("VERSION", configuration: ["cniVersion": "1.0.0"])).checked()
        let supported = Set((answer.output?["supportedVersions"]?.array ?? []).compactMap(\.string))
        return versions.filter(supported.contains)
    }

    /// The addresses in the ledger with the states that they are in.
    func states() async throws -> [String: AllocationState] {
        var states: [String: AllocationState] = [:]
        for allocation in try await controlPlane.allocations(labelSelector: "\(LabelKey.node)=\(node.name)") {
            states["\(allocation.spec.address)"] = allocation.spec.state
        }
        return states
    }

    /// The addresses that the ledger shows for a container.
    func held(by container: Container) async throws -> Set<String> {
        let attachment = container.sandbox.attachment()
        let selector = "\(LabelKey.attachment)=\(attachment.digest)"
        let allocations = try await controlPlane.allocations(labelSelector: selector)
        return Set(allocations.filter { $0.spec.attachment == attachment }.map { "\($0.spec.address)" })
    }
}

/// Network namespaces and chroot are root's.
func requireRoot() throws {
    guard geteuid() == 0 else {
        throw TestSetUpError("network namespaces and chroot need root: run hack/test.sh as root, or through sudo")
    }
}

/// A container of which there is only the network namespace, kept by a bind mount.
struct Container: Sendable {
    let sandbox: TestSandbox

    init(_ sandbox: TestSandbox) async throws {
        self.sandbox = sandbox
        try await runChecked("unshare", ["--net=\(sandbox.netns)", "true"])
    }

    /// The namespace goes when nothing keeps it any more; its path stays, as an ordinary file.
    func remove() async throws {
        // Not mounted any more where the test has removed it.
        _ = try await run("umount", ["--quiet", sandbox.netns])
    }

    private func enter(_ command: [String]) -> [String] { ["--net=\(sandbox.netns)"] + command }

    /// What `ip -j` prints in the namespace.
    private func ip(_ arguments: [String]) async throws -> [JSON] {
        let text = try await runChecked("nsenter", enter(["ip", "-j"] + arguments))
        return try JSON(parsing: Array(text.utf8)).array ?? []
    }

    func hasInterface() async throws -> Bool {
        try await ip(["link", "show"]).contains { $0["ifname"]?.string == sandbox.interface }
    }

    /// The addresses of the interface that reach beyond the link, with their prefix lengths, for example `10.0.0.7/24`.
    func addresses() async throws -> Set<String> {
        let links = try await ip(["address", "show", "dev", sandbox.interface])
        let addresses = links.flatMap { $0["addr_info"]?.array ?? [] }.filter { $0["scope"]?.string == "global" }
        return Set(
            try addresses.map { address in
                let parsed = try IPAddress(parsing: address["local"]?.string ?? "")
                return "\(parsed)/\(address["prefixlen"]?.int ?? -1)"
            })
    }

    /// The routes of a family that somebody has set, and not the kernel by itself: the destinations with their gateways.
    func routes(_ family: IPFamily) async throws -> [String: String] {
        var routes: [String: String] = [:]
        for route in try await ip([family == .v4 ? "-4" : "-6", "route", "show"])
        where route["protocol"]?.string != "kernel" {
            routes[route["dst"]?.string ?? "?"] = route["gateway"]?.string ?? "none"
        }
        return routes
    }

    /// The prefixes of a family that are on the link.
    func onLink(_ family: IPFamily) async throws -> Set<String> {
        let routes = try await ip([family == .v4 ? "-4" : "-6", "route", "show"])
        return Set(routes.filter { $0["protocol"]?.string == "kernel" }.compactMap { $0["dst"]?.string })
    }

    /// Sends one echo request and waits for the reply.
    func ping(_ address: String) async throws {
        try await runChecked("nsenter", enter(["ping", "-c", "1", "-W", "10", address]))
    }
}
