package import CNIProtocol
package import IPAMAPI
package import IPAMEngine
package import IPAddressing
import JSONText

/// What the `ipam` section asks for: pools by name, ranges in the form that whereabouts uses, or neither, which leaves
/// the choice to annotations and to the default pools.
package struct AddressConfiguration: Equatable {
    package var demand: PoolDemand
    /// Nil: all that the pools have.
    package var families: [IPFamily]?
    /// The interface of the node that the main plugin works on, where the configuration names one.
    package var master: String?
    package var staticAddresses: [StaticAddress] = []
    package var routes: [ResultRoute] = []
    package var dns: ResultDNS?

    /// - Throws: Code 6 for wrong JSON types, 7 for values that cannot be.
    package init(_ configuration: NetworkConfiguration) throws(CNIError) {
        let ipam = configuration.ipam
        try ConfigurationKeys.refuseMisspelt(ipam)
        let network = try InlineNetwork(ipam)
        let names = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.strings("pools") } ?? []
        let ranges = try network.ranges(ipam, runtime: configuration.runtimeConfig.ipRanges)
        staticAddresses = try network.staticAddresses(ipam)
        switch (names.isEmpty, ranges.isEmpty) {
        case (false, false):
            throw CNIError(
                invalid: ipam.error("pools", "cannot stand beside range or ipRanges; name pools or write ranges"))
        case (false, true): demand = .named(try Self.checked(names, ipam))
        case (true, false): demand = .inline(ranges)
        case (true, true):
            if staticAddresses.isEmpty { try ConfigurationKeys.refuseUnknown(ipam) }
            guard !ipam.has("pools") else {
                throw CNIError(
                    invalid: ipam.error(
                        "pools", "is empty; name IPPools, or leave it out for annotations and default pools to decide"))
            }
            demand = staticAddresses.isEmpty ? .defaults : .inline([])
        }
        families = try Self.families(ipam)
        master = try? configuration.raw.string("master")
        try network.checkGateway(ipam, demand)
        try Self.checkPools(ranges.flatMap { $0 } + staticAddresses.map(\.pool), ipam)
        routes = try Self.routes(ipam)
        dns = try Self.dns(ipam)
    }

    /// A pool that makes no sense must not be created.
    private static func checkPools(_ pools: [InlinePoolDefinition], _ ipam: JSONFields) throws(CNIError) {
        for definition in pools {
            do {
                _ = try ValidatedPool(definition.pool)
            } catch {
                throw CNIError(
                    code: CNIError.invalidConfiguration,
                    message: "\(ipam.path): the range \(definition.range?.description ?? "\(definition.subnet)")"
                        + " cannot be a pool: \(error.message)")
            }
        }
    }

    private static func checked(_ names: [String], _ ipam: JSONFields) throws(CNIError) -> [NamePattern] {
        var patterns: [NamePattern] = []
        for (index, name) in names.enumerated() {
            let pattern = try? NamePattern(parsing: name)
            guard let pattern, !pattern.isExact || BerthAPI.isValidPoolName(name) else {
                throw CNIError(invalid: ipam.error("pools[\(index)]", "\"\(name)\" is not a name of an IPPool"))
            }
            guard names.firstIndex(of: name) == index else {
                throw CNIError(invalid: ipam.error("pools[\(index)]", "\"\(name)\" is listed twice"))
            }
            patterns.append(pattern)
        }
        return patterns
    }

    private static func families(_ ipam: JSONFields) throws(CNIError) -> [IPFamily]? {
        let names = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.strings("families") }
        guard let names, !names.isEmpty else { return nil }
        guard let families = IPFamily.list(names) else {
            throw CNIError(invalid: ipam.error("families", "must be \"IPv4\", \"IPv6\" or both, each once"))
        }
        return families
    }

    private static func routes(_ ipam: JSONFields) throws(CNIError) -> [ResultRoute] {
        let specs = try CNIError.decoding { () throws(JSONDecodingError) in
            var specs: [(field: String, spec: IPPool.RouteSpec)] = []
            for fields in try ipam.list("routes") ?? [] { specs.append((fields.path, try IPPool.RouteSpec(fields))) }
            return specs
        }
        var routes: [ResultRoute] = []
        for (field, spec) in specs {
            do {
                routes.append(ResultRoute(try Route(spec, field: field, subnet: nil)))
            } catch {
                throw CNIError(code: CNIError.invalidConfiguration, message: "\(error)")
            }
        }
        return routes
    }

    private static func dns(_ ipam: JSONFields) throws(CNIError) -> ResultDNS? {
        try CNIError.decoding { () throws(JSONDecodingError) in
            guard let fields = try ipam.fields("dns") else { return nil }
            let dns = ResultDNS(
                nameservers: try fields.strings("nameservers") ?? [], domain: try fields.string("domain"),
                search: try fields.strings("search") ?? [], options: try fields.strings("options") ?? [])
            return dns.isEmpty ? nil : dns
        }
    }
}

extension ResultRoute {
    package init(_ route: Route) {
        self.init(
            dst: route.dst, gw: route.gw, mtu: route.mtu, advmss: route.advmss, priority: route.priority,
            table: route.table, scope: route.scope)
    }
}

/// The keys that hold for every inline range of a configuration.
private struct InlineNetwork {
    let name: String
    let gateway: IPAddress?

    init(_ ipam: JSONFields) throws(CNIError) {
        name = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.string("network_name") } ?? ""
        guard name.isEmpty || AllocationName.isValidNetworkName(name) else {
            throw CNIError(
                invalid: ipam.error(
                    "network_name",
                    "\"\(name)\" must be at most 63 lower-case letters, digits and '-', beginning with a letter"))
        }
        gateway = try Self.address(ipam, "gateway")
    }

    private static func address(_ fields: JSONFields, _ name: String) throws(CNIError) -> IPAddress? {
        let text = try CNIError.decoding { () throws(JSONDecodingError) in try fields.string(name) }
        guard let text, !text.isEmpty else { return nil }
        do {
            return try IPAddress(parsing: text)
        } catch {
            throw CNIError(invalid: fields.error(name, "\(error)"))
        }
    }

    /// One element for each address: the runtime's ranges where it gives any, else `range` and then each of `ipRanges`.
    func ranges(_ ipam: JSONFields, runtime: [[RuntimeRange]]) throws(CNIError) -> [[InlinePoolDefinition]] {
        if !runtime.isEmpty { return runtime.map { $0.map(definition) } }
        var elements: [[InlinePoolDefinition]] = []
        if ipam.has("range") { elements.append([try definition(ipam)]) }
        let list = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.list("ipRanges") } ?? []
        for fields in list { elements.append([try definition(fields)]) }
        return elements
    }

    private func definition(_ range: RuntimeRange) -> InlinePoolDefinition {
        let usable = usableAddresses(subnet: range.subnet, ranges: [], exclude: [], gateway: nil)
        // One bound beyond what is usable must not turn the range around, which would be none at all.
        var lower = range.rangeStart ?? usable.first ?? range.subnet.first
        if range.rangeStart == nil, let end = range.rangeEnd { lower = min(lower, end) }
        var upper = range.rangeEnd ?? usable.last ?? range.subnet.last
        if range.rangeEnd == nil { upper = max(upper, lower) }
        let bounds = range.rangeStart == nil && range.rangeEnd == nil ? nil : IPRange(lower: lower, upper: upper)
        return InlinePoolDefinition(
            subnet: range.subnet, range: bounds, exclude: [], gateway: range.gateway ?? gateway(in: range.subnet),
            network: name)
    }

    private func definition(_ fields: JSONFields) throws(CNIError) -> InlinePoolDefinition {
        let (text, start, end, excluded) = try CNIError.decoding { () throws(JSONDecodingError) in
            (
                try fields.requiredString("range"), try fields.string("range_start"), try fields.string("range_end"),
                try fields.strings("exclude") ?? []
            )
        }
        let subnet: IPPrefix
        let range: IPRange?
        do {
            (subnet, range) = try WhereaboutsRange.parse(range: text, start: start, end: end)
        } catch {
            let key =
                switch error.subject {
                case .rangeStart: "range_start"
                case .rangeEnd: "range_end"
                default: "range"
                }
            throw CNIError(invalid: fields.error(key, "\(error)"))
        }
        var exclude: [IPRange] = []
        for (index, text) in excluded.enumerated() {
            do {
                // whereabouts takes a CIDR with host bits for the whole prefix.
                exclude.append(
                    text.contains("/")
                        ? try IPPrefix.parsingInterface(text).prefix.range : try IPRange(parsing: text, in: nil))
            } catch {
                throw CNIError(invalid: fields.error("exclude[\(index)]", "\(error)"))
            }
        }
        return InlinePoolDefinition(
            subnet: subnet, range: range, exclude: exclude, gateway: gateway(in: subnet), network: name)
    }

    private func gateway(in subnet: IPPrefix) -> IPAddress? {
        guard let gateway, subnet.contains(gateway) else { return nil }
        return gateway
    }

    /// `addresses: [{address: 10.0.0.5/24, gateway: 10.0.0.1}]`.
    func staticAddresses(_ ipam: JSONFields) throws(CNIError) -> [StaticAddress] {
        var addresses: [StaticAddress] = []
        let list = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.list("addresses") } ?? []
        for fields in list {
            let text = try CNIError.decoding { () throws(JSONDecodingError) in try fields.requiredString("address") }
            let parsed: IPInterfaceAddress
            do {
                parsed = try IPInterfaceAddress(parsing: text)
            } catch {
                throw CNIError(invalid: fields.error("address", "\(error)"))
            }
            let gateway = try Self.address(fields, "gateway")
            if let gateway, !parsed.prefix.contains(gateway) {
                throw CNIError(invalid: fields.error("gateway", "\(gateway) is not in the subnet \(parsed.prefix)"))
            }
            let pool = InlinePoolDefinition(
                subnet: parsed.prefix, range: nil, exclude: [], gateway: gateway, network: name)
            addresses.append(StaticAddress(address: parsed.address, pool: pool))
        }
        return addresses
    }

    /// A gateway that lies in none of the ranges could reach nobody.
    func checkGateway(_ ipam: JSONFields, _ demand: PoolDemand) throws(CNIError) {
        guard let gateway else { return }
        guard case .inline(let elements) = demand else {
            throw CNIError(invalid: ipam.error("gateway", "belongs to a range; an IPPool has its own spec.gateway"))
        }
        let subnets = elements.flatMap { $0 }.map(\.subnet)
        guard subnets.contains(where: { $0.contains(gateway) }) else {
            throw CNIError(
                invalid: ipam.error(
                    "gateway",
                    "\(gateway) is not in the subnet \(subnets.map(\.description).joined(separator: " or "))"))
        }
    }
}
