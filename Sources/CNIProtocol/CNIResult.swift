package import IPAddressing
package import JSONText

/// What an IPAM plugin answers to ADD: the abbreviated result, without interfaces (spec 1.1.0, "Delegated plugins").
package struct CNIResult: Hashable, Sendable {
    package var ips: [ResultIP]
    package var routes: [ResultRoute]
    package var dns: ResultDNS?
    /// An earlier ADD of the attachment has returned some of it: it may be in use, and only a DEL takes it away.
    package var isRepeated: Bool

    package init(ips: [ResultIP], routes: [ResultRoute] = [], dns: ResultDNS? = nil, isRepeated: Bool = false) {
        self.ips = ips
        self.routes = routes
        self.dns = dns
        self.isRepeated = isRepeated
    }

    /// Whether a result of this version can carry so many addresses. For before anything is claimed, because
    /// ``json(for:)`` throws the same.
    ///
    /// - Throws: Code 2 for more than one address of a family below 0.3.0, code 7 for none at all.
    package static func supports(version: CNIVersion, v4Count: Int, v6Count: Int) throws(CNIError) {
        guard v4Count + v6Count > 0 else {
            throw CNIError(code: CNIError.invalidConfiguration, message: "the configuration gives no address")
        }
        guard version.resultShape == .oneOfEachFamily else { return }
        for (family, count) in [("IPv4", v4Count), ("IPv6", v6Count)] where count > 1 {
            throw CNIError(
                code: CNIError.unsupportedField,
                message: "cniVersion \"\(version.rawValue)\" carries one \(family) address, not \(count)",
                details: "several addresses of a family need cniVersion \(CNIVersion.v030.rawValue) or newer"
            )
        }
    }

    /// The object for standard output. Routes lose what the version cannot express; below 0.3.0 also those of a family
    /// without an address.
    ///
    /// - Throws: As ``supports(version:v4Count:v6Count:)``.
    package func json(for version: CNIVersion) throws(CNIError) -> JSON {
        let v4 = ips.filter { $0.address.family == .v4 }
        let v6 = ips.filter { $0.address.family == .v6 }
        try Self.supports(version: version, v4Count: v4.count, v6Count: v6.count)

        var json: JSON = ["cniVersion": .string(version.rawValue)]
        switch version.resultShape {
        case .oneOfEachFamily:
            json["ip4"] = v4.first.map { familyJSON($0, version) }
            json["ip6"] = v6.first.map { familyJSON($0, version) }
        case .listNamingFamily:
            json["ips"] = .array(ips.map { $0.json(namingFamily: true) })
        case .list:
            json["ips"] = .array(ips.map { $0.json(namingFamily: false) })
        }
        if version.resultShape != .oneOfEachFamily, !routes.isEmpty {
            json["routes"] = .array(routes.map { $0.json(for: version) })
        }
        if let dns, !dns.isEmpty { json["dns"] = dns.json }
        return json
    }

    private func familyJSON(_ ip: ResultIP, _ version: CNIVersion) -> JSON {
        var json: JSON = ["ip": .string("\(ip.address)")]
        json["gateway"] = ip.gateway.map { .string("\($0)") }
        let ownRoutes = routes.filter { $0.dst.family == ip.address.family }
        if !ownRoutes.isEmpty { json["routes"] = .array(ownRoutes.map { $0.json(for: version) }) }
        return json
    }
}

/// An address of a result.
package struct ResultIP: Hashable, Sendable {
    /// With its host bits and the subnet's prefix length.
    package var address: IPInterfaceAddress
    package var gateway: IPAddress?

    package init(address: IPInterfaceAddress, gateway: IPAddress? = nil) {
        self.address = address
        self.gateway = gateway
    }

    fileprivate func json(namingFamily: Bool) -> JSON {
        var json: JSON = [:]
        if namingFamily {
            json["version"] =
                switch address.family {
                case .v4: "4"
                case .v6: "6"
                }
        }
        json["address"] = .string("\(address)")
        json["gateway"] = gateway.map { .string("\($0)") }
        return json
    }
}

/// A route of a result. The attributes after `gw` exist from 1.1.0 on and are dropped before; 0 is a value, nil is none.
package struct ResultRoute: Hashable, Sendable {
    package var dst: IPPrefix
    package var gw: IPAddress?
    package var mtu: Int?
    package var advmss: Int?
    package var priority: Int?
    package var table: Int?
    /// 0 global, 253 link, 254 host.
    package var scope: Int?

    package init(
        dst: IPPrefix, gw: IPAddress? = nil, mtu: Int? = nil, advmss: Int? = nil, priority: Int? = nil,
        table: Int? = nil, scope: Int? = nil
    ) {
        self.dst = dst
        self.gw = gw
        self.mtu = mtu
        self.advmss = advmss
        self.priority = priority
        self.table = table
        self.scope = scope
    }

    fileprivate func json(for version: CNIVersion) -> JSON {
        var json: JSON = ["dst": .string("\(dst)")]
        json["gw"] = gw.map { .string("\($0)") }
        guard version.hasRouteAttributes else { return json }
        json["mtu"] = mtu.map { .int($0) }
        json["advmss"] = advmss.map { .int($0) }
        json["priority"] = priority.map { .int($0) }
        json["table"] = table.map { .int($0) }
        json["scope"] = scope.map { .int($0) }
        return json
    }
}

/// The resolver configuration of a result.
package struct ResultDNS: Hashable, Sendable {
    package var nameservers: [String]
    package var domain: String?
    package var search: [String]
    package var options: [String]

    package init(nameservers: [String] = [], domain: String? = nil, search: [String] = [], options: [String] = []) {
        self.nameservers = nameservers
        self.domain = domain
        self.search = search
        self.options = options
    }

    package var isEmpty: Bool { json.object?.isEmpty ?? true }

    fileprivate var json: JSON {
        var json: JSON = [:]
        if !nameservers.isEmpty { json["nameservers"] = .strings(nameservers) }
        if let domain, !domain.isEmpty { json["domain"] = .string(domain) }
        if !search.isEmpty { json["search"] = .strings(search) }
        if !options.isEmpty { json["options"] = .strings(options) }
        return json
    }
}
