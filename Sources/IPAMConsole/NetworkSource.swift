import CNIProtocol
package import IPAMAPI
import IPAMConfiguration
package import IPAMEngine
package import IPAddressing
package import JSONText

/// A network configuration that asks Berth for addresses, and where it was found.
package struct NetworkSource: Hashable, Sendable {
    /// The interface of the cluster's own network.
    package static let firstInterface = "eth0"

    /// A whole phrase: `configuration blue.conf`, `NetworkAttachmentDefinition shop/blue (interface net1)`.
    package var title: String
    package var demand: PoolDemand
    /// What the configuration says of families.
    package var families: [IPFamily]?
    /// The interface in the pod.
    package var interface: String
    /// The configuration's name.
    package var network: String
    /// The interface of the node that the main plugin works on.
    package var master: String?
    package var staticAddresses: [StaticAddress]
    /// Addresses that the configuration, or the pod, asks for by name.
    package var requested: [IPAddress]
    /// Whether annotations of the pod's namespace count, as far as the configuration says it.
    package var heedsNamespace: Bool

    package init(
        title: String, demand: PoolDemand, families: [IPFamily]? = nil, interface: String = firstInterface,
        network: String = "", master: String? = nil, staticAddresses: [StaticAddress] = [], requested: [IPAddress] = [],
        heedsNamespace: Bool = true
    ) {
        self.title = title
        self.demand = demand
        self.families = families
        self.interface = interface
        self.network = network
        self.master = master
        self.staticAddresses = staticAddresses
        self.requested = requested
        self.heedsNamespace = heedsNamespace
    }

    /// As if a configuration listed pools.
    package init(pools names: [String]) throws(ConsoleError) {
        var patterns: [NamePattern] = []
        for name in names {
            do throws(PatternError) {
                patterns.append(try NamePattern(parsing: name))
            } catch {
                throw ConsoleError("--pools: \(error)")
            }
        }
        self.init(title: "pools \(names.joined(separator: ", ")) (--pools)", demand: .named(patterns))
    }

    /// What a configuration turned out to be.
    package enum Reading: Hashable, Sendable {
        case berth(NetworkSource)
        /// Somebody else gives the addresses; the text is a predicate of the configuration.
        case other(String)
    }

    /// Reads a configuration of one plugin, or a list of plugins, as libcni does.
    ///
    /// - Parameters:
    ///   - json: The document.
    ///   - name: The network's name where the document has none, as Multus gives it that of its object.
    ///   - interface: The one in the pod that it is for.
    ///   - requested: What the pod asks for; it counts before what the configuration says.
    package static func read(
        _ json: JSON, title: String, name: String? = nil, interface: String = firstInterface,
        requested: [IPAddress] = []
    ) throws(ConsoleError) -> Reading {
        var plugin = json
        if let plugins = json["plugins"]?.array {
            guard let found = plugins.first(where: { $0["ipam"]?["type"]?.string == "berth" }) else {
                let types = plugins.compactMap { $0["ipam"]?["type"]?.string }
                return .other(types.isEmpty ? "has no ipam section" : "takes its addresses from \(types[0])")
            }
            plugin = found
            for member in ["name", "cniVersion"] { plugin[member] = json[member] }
        }
        let type = plugin["ipam"]?["type"]?.string ?? ""
        guard type == "berth" else {
            return .other(type.isEmpty ? "has no ipam section" : "takes its addresses from \(type)")
        }
        if (plugin["name"]?.string ?? "").isEmpty, let name { plugin["name"] = .string(name) }
        do {
            let configuration = try NetworkConfiguration(JSONFields(plugin), for: .add)
            let addresses = try AddressConfiguration(configuration)
            let configured = try configuration.requestedAddresses(CNIArgs()).map(\.address)
            return .berth(
                NetworkSource(
                    title: title, demand: addresses.demand, families: addresses.families, interface: interface,
                    network: configuration.name, master: addresses.master, staticAddresses: addresses.staticAddresses,
                    requested: requested.isEmpty ? configured : requested,
                    heedsNamespace: try configuration.ipam.bool("namespaceAnnotations") ?? true))
        } catch let error as CNIError {
            let details = error.details.isEmpty ? "" : " (\(error.details))"
            throw ConsoleError("\(title): \(error.message)\(details)")
        } catch {
            throw ConsoleError("\(title): \(error)")
        }
    }

    /// The ranges that are written in the configuration.
    private var ranges: [InlinePoolDefinition] {
        var ranges = staticAddresses.map(\.pool)
        if case .inline(let elements) = demand { ranges += elements.flatMap { $0 } }
        return ranges
    }

    /// The pools that the plugin makes for ranges, for there are none yet, with what is reserved in force.
    package func newPools(
        besides pools: [String: PoolEntry], _ reservations: [ValidatedReservation]
    ) -> [String: PoolEntry] {
        Dictionary(
            ranges.filter { pools[$0.poolName] == nil }.map {
                ($0.poolName, PoolEntry($0.pool).ruled(by: reservations))
            }
        ) { $1 }
    }
}

/// One network that a pod asks Multus for (`k8s.v1.cni.cncf.io/networks`).
package struct MultusNetwork: Hashable, Sendable {
    package static let annotation = "k8s.v1.cni.cncf.io/networks"
    /// In place of the cluster's default network.
    package static let defaultAnnotation = "v1.multus-cni.io/default-network"

    package var namespace: String
    package var name: String
    /// Nil: Multus numbers it, `net1` for the first.
    package var interface: String?
    package var addresses: [IPAddress]

    package init(namespace: String, name: String, interface: String? = nil, addresses: [IPAddress] = []) {
        self.namespace = namespace
        self.name = name
        self.interface = interface
        self.addresses = addresses
    }

    /// Reads either form of the annotation: JSON, or `NAMESPACE/NAME@INTERFACE,…`.
    ///
    /// - Parameter namespace: The pod's, of networks that are named without one.
    package static func parse(_ annotation: String, namespace: String) throws(ConsoleError) -> [MultusNetwork] {
        let first = annotation.first { !$0.isWhitespace }
        guard first == "[" || first == "{" else {
            return annotation.split(separator: ",").map { element in
                let text = element.filter { !$0.isWhitespace }
                let parts = text.split(separator: "@", maxSplits: 1).map(String.init)
                let path = (parts.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
                return MultusNetwork(
                    namespace: path.count == 2 ? path[0] : namespace, name: path.last ?? "",
                    interface: parts.count == 2 ? parts[1] : nil)
            }
        }
        guard let json = try? JSON(parsing: Array(annotation.utf8)) else {
            throw ConsoleError("the pod's annotation \(Self.annotation) is not JSON")
        }
        let elements = json.array ?? [json]
        var networks: [MultusNetwork] = []
        for element in elements {
            guard let name = element["name"]?.string else {
                throw ConsoleError("the pod's annotation \(Self.annotation) names no network in \(element)")
            }
            let texts = (element["ips"]?.array ?? []).compactMap(\.string)
            networks.append(
                MultusNetwork(
                    namespace: element["namespace"]?.string ?? namespace, name: name,
                    interface: element["interface"]?.string,
                    addresses: texts.compactMap { text in
                        text.split(separator: "/").first.flatMap { IPAddress(String($0)) }
                    }))
        }
        return networks
    }
}
