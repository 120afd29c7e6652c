import IPAddressing
package import JSONText

extension CNIResult {
    /// The addresses of an earlier result, in the shape of any supported version, whichever its `cniVersion` names.
    ///
    /// Gateways, routes and DNS are left out: plugins later in the chain may have changed them, so nothing compares them.
    ///
    /// - Throws: Code 6 for wrong JSON types, code 7 for what is not an address with a prefix length.
    package init(prevResult json: JSON, path: String = "prevResult") throws(CNIError) {
        let addresses = try CNIError.decoding { () throws(JSONDecodingError) in
            let fields = try JSONFields(json, path: path)
            var addresses: [(fields: JSONFields, name: String, text: String)] = []
            for ip in try fields.list("ips") ?? [] {
                addresses.append((ip, "address", try ip.requiredString("address")))
            }
            for name in ["ip4", "ip6"] {
                guard let ip = try fields.fields(name) else { continue }
                addresses.append((ip, "ip", try ip.requiredString("ip")))
            }
            return addresses
        }
        var ips: [ResultIP] = []
        for (fields, name, text) in addresses {
            do {
                ips.append(ResultIP(address: try IPInterfaceAddress(parsing: text)))
            } catch {
                throw CNIError(invalid: fields.error(name, "\(error)"))
            }
        }
        self.init(ips: ips)
    }
}
