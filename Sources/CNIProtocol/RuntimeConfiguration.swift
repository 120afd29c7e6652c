package import IPAddressing
import JSONText

/// What the runtime passes for the capabilities `ips` and `ipRanges` (CNI conventions, "Dynamic plugin specific fields").
package struct RuntimeConfiguration: Hashable, Sendable {
    package var ips: [RequestedAddress]
    /// One element for each address of the attachment; each lists the ranges that the address may come from.
    package var ipRanges: [[RuntimeRange]]

    package init(ips: [RequestedAddress] = [], ipRanges: [[RuntimeRange]] = []) {
        self.ips = ips
        self.ipRanges = ipRanges
    }

    /// - Throws: Code 6 for wrong JSON types, 7 for values that are not addresses or do not fit each other.
    init(_ fields: JSONFields) throws(CNIError) {
        ips = try Self.addresses(fields, "ips")
        ipRanges = try Self.ranges(fields)
    }

    /// A list of addresses, each with or without a prefix length; empty when absent.
    static func addresses(_ fields: JSONFields, _ name: String) throws(CNIError) -> [RequestedAddress] {
        let texts = try CNIError.decoding { () throws(JSONDecodingError) in try fields.strings(name) ?? [] }
        var addresses: [RequestedAddress] = []
        for (index, text) in texts.enumerated() {
            do {
                addresses.append(try RequestedAddress(parsing: text))
            } catch {
                throw CNIError(invalid: fields.error("\(name)[\(index)]", "\(error)"))
            }
        }
        return addresses
    }

    private static func ranges(_ fields: JSONFields) throws(CNIError) -> [[RuntimeRange]] {
        let name = "ipRanges"
        let sets = try CNIError.decoding { () throws(JSONDecodingError) in try fields.array(name) ?? [] }
        var ranges: [[RuntimeRange]] = []
        for (index, set) in sets.enumerated() {
            guard let alternatives = set.array else {
                throw CNIError(
                    decoding: fields.error("\(name)[\(index)]", "expected a list, found \(set.kindDescription)")
                )
            }
            var parsed: [RuntimeRange] = []
            for (position, alternative) in alternatives.enumerated() {
                let path = fields.path(of: "\(name)[\(index)][\(position)]")
                let range = try CNIError.decoding { () throws(JSONDecodingError) in
                    try JSONFields(alternative, path: path)
                }
                parsed.append(try RuntimeRange(range))
            }
            guard let family = parsed.first?.subnet.family else {
                throw CNIError(invalid: fields.error("\(name)[\(index)]", "has no range"))
            }
            guard parsed.allSatisfy({ $0.subnet.family == family }) else {
                throw CNIError(invalid: fields.error("\(name)[\(index)]", "mixes IPv4 and IPv6"))
            }
            ranges.append(parsed)
        }
        return ranges
    }
}

/// One of the alternatives in `runtimeConfig.ipRanges`, checked: everything is of the subnet's family, start and end lie
/// in the subnet and in this order.
package struct RuntimeRange: Hashable, Sendable {
    package let subnet: IPPrefix
    package let rangeStart: IPAddress?
    package let rangeEnd: IPAddress?
    package let gateway: IPAddress?

    init(_ fields: JSONFields) throws(CNIError) {
        guard let subnetText = try Self.text(fields, "subnet") else {
            throw CNIError(invalid: fields.error("subnet", "missing"))
        }
        do {
            subnet = try IPPrefix(parsing: subnetText)
        } catch {
            throw CNIError(invalid: fields.error("subnet", "\(error)"))
        }
        rangeStart = try Self.address(fields, "rangeStart")
        rangeEnd = try Self.address(fields, "rangeEnd")
        gateway = try Self.address(fields, "gateway")

        for (name, address) in [("rangeStart", rangeStart), ("rangeEnd", rangeEnd)] {
            if let address, !subnet.contains(address) {
                throw CNIError(invalid: fields.error(name, "\(address) is not in the subnet \(subnet)"))
            }
        }
        if let rangeStart, let rangeEnd, rangeEnd < rangeStart {
            throw CNIError(invalid: fields.error("rangeEnd", "\(rangeEnd) is below rangeStart \(rangeStart)"))
        }
        if let gateway, gateway.family != subnet.family {
            throw CNIError(invalid: fields.error("gateway", "\(gateway) is not of the family of \(subnet)"))
        }
    }

    /// An empty text counts as absent: Go writes an unset address so.
    private static func text(_ fields: JSONFields, _ name: String) throws(CNIError) -> String? {
        let text = try CNIError.decoding { () throws(JSONDecodingError) in try fields.string(name) }
        return text == "" ? nil : text
    }

    private static func address(_ fields: JSONFields, _ name: String) throws(CNIError) -> IPAddress? {
        guard let text = try text(fields, name) else { return nil }
        do {
            return try IPAddress(parsing: text)
        } catch {
            throw CNIError(invalid: fields.error(name, "\(error)"))
        }
    }
}
