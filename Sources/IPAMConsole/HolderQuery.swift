package import IPAddressing

/// What `who`, `release` and `wait` are asked about.
package enum HolderQuery: Hashable, Sendable {
    /// In whichever network.
    case address(IPAddress)
    case allocation(AllocationName)
    case pod(PodKey)
    case node(String)
    /// An IPClaim, by its namespace and name.
    case claim(PodKey)
    /// A pod of the namespace, a node, or a claim of the namespace.
    case name(PodKey)

    private static let claimWords = ["claim", "ipclaim", "ipclaims", "ipc", "ipclaim.ipam.berth.dev"]

    /// Reads `10.0.0.7`, IPv6 in any spelling, also in brackets and with a prefix length, `NETWORK/ADDRESS`, the name of
    /// an allocation, `NAMESPACE/POD`, `pod/NAME`, `node/NAME`, `claim/NAME`, `claim/NAMESPACE/NAME`, or a bare name.
    ///
    /// What looks like an address, though it may be a name by the letter, is one or an error.
    ///
    /// - Parameters:
    ///   - namespace: Of pods that are named without one.
    ///   - network: Where an address is meant to be; nil for anywhere, empty for the default network.
    package init(_ text: String, namespace: String, network: String? = nil) throws(ConsoleError) {
        if let network, !network.isEmpty, !AllocationName.isValidNetworkName(network) {
            throw ConsoleError(
                "--network: \"\(network)\" is no name of a network",
                remedy: "`kubectl get ippools.ipam.berth.dev` shows them")
        }
        if let address = try Self.address(text) {
            self =
                network.flatMap { AllocationName(network: $0, address: address) }.map { .allocation($0) }
                ?? .address(address)
            return
        }
        if let name = AllocationName(objectName: text.lowercased()) {
            self = .allocation(name)
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1 where !text.isEmpty: self = .name(PodKey(namespace: namespace, name: text))
        case 2 where !parts[0].isEmpty && !parts[1].isEmpty:
            self = try Self.pair(parts[0], parts[1], namespace)
        case 3 where Self.claimWords.contains(parts[0]) && !parts[1].isEmpty && !parts[2].isEmpty:
            self = .claim(PodKey(namespace: parts[1], name: parts[2]))
        default:
            throw ConsoleError(
                "\"\(text)\" is neither an address nor the name of a pod, node or claim",
                remedy: "write 10.0.0.7, fd00::7, NETWORK/10.0.0.7, POD, NAMESPACE/POD, node/NAME or claim/NAME")
        }
    }

    private static func pair(
        _ first: String, _ second: String, _ namespace: String
    ) throws(ConsoleError) -> HolderQuery {
        switch first {
        case "pod", "pods", "po": return .pod(PodKey(namespace: namespace, name: second))
        case "node", "nodes", "no": return .node(second)
        case _ where claimWords.contains(first): return .claim(PodKey(namespace: namespace, name: second))
        case "ipallocation", "ipallocations", "ipa", "ipallocation.ipam.berth.dev", "ipallocations.ipam.berth.dev":
            guard let name = AllocationName(objectName: second) else {
                throw ConsoleError("\"\(second)\" is not the name of an allocation")
            }
            return .allocation(name)
        default:
            if let address = try Self.address(second), let name = AllocationName(network: first, address: address) {
                return .allocation(name)
            }
            return .pod(PodKey(namespace: first, name: second))
        }
    }

    /// An address, in brackets or with a prefix length too. Nil for what is meant as a name.
    private static func address(_ text: String) throws(ConsoleError) -> IPAddress? {
        let slash = text.firstIndex(of: "/")
        var bare = text[..<(slash ?? text.endIndex)]
        if bare.first == "[", bare.last == "]" { bare = bare.dropFirst().dropLast() }
        guard isMeantAsAddress(bare) else { return nil }
        do throws(IPParseError) {
            guard let slash else { return try IPAddress(parsing: bare) }
            return try IPInterfaceAddress(parsing: "\(bare)\(text[slash...])").address
        } catch {
            throw ConsoleError(
                "\(error)", remedy: "write 10.0.0.7, fd00::7 or NETWORK/10.0.0.7; for what has such a name, KIND/NAME")
        }
    }

    /// A colon, or digits with more than one dot between or around them.
    private static func isMeantAsAddress(_ text: Substring) -> Bool {
        let isNumeric = text.utf8.allSatisfy {
            $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        return text.contains(":") || (isNumeric && text.utf8.count { $0 == UInt8(ascii: ".") } > 1)
    }
}
