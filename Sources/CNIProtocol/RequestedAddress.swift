package import IPAddressing

/// An address that someone asks for by name, with the prefix length that they want on it, if they say.
package struct RequestedAddress: Hashable, Sendable {
    package let address: IPAddress
    /// Nil where the pool's own applies.
    package let length: Int?

    package init(address: IPAddress, length: Int? = nil) {
        self.address = address
        self.length = length
    }

    /// Parses `10.0.0.5` or `fd00::5/64`.
    package init(parsing text: some StringProtocol) throws(IPParseError) {
        if text.contains("/") {
            let parsed = try IPInterfaceAddress(parsing: text)
            self.init(address: parsed.address, length: parsed.length)
        } else {
            self.init(address: try IPAddress(parsing: text))
        }
    }
}

extension RequestedAddress: CustomStringConvertible {
    package var description: String { length.map { "\(address)/\($0)" } ?? "\(address)" }
}

extension NetworkConfiguration {
    /// The addresses that the runtime asks for, from the first of these that names any: `runtimeConfig.ips`,
    /// `args.cni.ips`, the `IP` of `CNI_ARGS` (CNI conventions, "ips"). An empty list asks for nothing.
    ///
    /// - Throws: Code 7 for an address that is named twice, code 4 for an `IP` that cannot be parsed.
    package func requestedAddresses(_ arguments: CNIArgs) throws(CNIError) -> [RequestedAddress] {
        if !runtimeConfig.ips.isEmpty { return try Self.distinct(runtimeConfig.ips, "runtimeConfig.ips") }
        if !argumentIPs.isEmpty { return try Self.distinct(argumentIPs, "args.cni.ips") }
        guard let list = arguments.ip else { return [] }
        var addresses: [RequestedAddress] = []
        for text in list.split(separator: ",", omittingEmptySubsequences: false) {
            do {
                addresses.append(try RequestedAddress(parsing: text))
            } catch {
                throw CNIError(code: CNIError.invalidEnvironment, message: "CNI_ARGS: IP=\(list): \(error)")
            }
        }
        return try Self.distinct(addresses, "CNI_ARGS: IP")
    }

    private static func distinct(
        _ addresses: [RequestedAddress], _ source: String
    ) throws(CNIError) -> [RequestedAddress] {
        var seen: Set<IPAddress> = []
        for requested in addresses where !seen.insert(requested.address).inserted {
            throw CNIError(
                code: CNIError.invalidConfiguration,
                message: "\(source): \(requested.address) is requested twice"
            )
        }
        return addresses
    }
}
