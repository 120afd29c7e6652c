package import IPAMAPI
package import IPAddressing
import JSONText
import KubernetesCore

/// Why pools cannot be selected, whatever is free in them.
package enum SelectionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An annotation cannot be understood, or names what it may not: quoted, with whose it is.
    case annotation(String)
    /// No pool can serve, each with its reason.
    case noPool(String)

    package var description: String {
        switch self {
        case .annotation(let text), .noPool(let text): text
        }
    }
}

/// Patterns of names of pools in order of preference, and who wrote them.
package struct PoolList: Hashable, Sendable {
    package enum Source: Hashable, Sendable {
        case podAnnotation(key: String)
        case namespaceAnnotation(key: String)
        case configuration
    }

    package var source: Source
    package var patterns: [NamePattern]
    /// The annotation's value.
    package var text: String

    package init(_ source: Source, _ patterns: [NamePattern], text: String = "") {
        self.source = source
        self.patterns = patterns
        self.text = text
    }

    /// It names pools, and leaves none to patterns.
    package var isExact: Bool { patterns.allSatisfy(\.isExact) }

    package func names(_ pool: String) -> Bool { patterns.contains { $0.matches(pool) } }

    /// For people: `annotation ipam.berth.dev/pools: "blue-*" of the pod`.
    package var description: String {
        switch source {
        case .podAnnotation(let key): "annotation \(key): \(text.debugDescription) of the pod"
        case .namespaceAnnotation(let key): "annotation \(key): \(text.debugDescription) of the namespace"
        case .configuration: "network configuration"
        }
    }
}

/// Whom an attachment may ask for addresses: the first level that names pools, and what annotations say beside it.
///
/// The levels: annotation of the pod for the interface, annotation of the pod, the same two of its namespace, network
/// configuration, default pools.
package struct PoolRequest: Hashable, Sendable {
    package enum Pools: Hashable, Sendable {
        case listed(PoolList)
        case defaults
        /// The configuration's own ranges.
        case inline([[InlinePoolDefinition]])
    }

    package var pools: Pools

    /// The pools that the deciding level names; nil where it names none, or has ranges of its own.
    package var list: PoolList? {
        if case .listed(let list) = pools { list } else { nil }
    }

    /// What the network configuration lists, which annotations may choose from.
    package var configured: [NamePattern]
    /// Nil: all that the deciding level names.
    package var families: [IPFamily]?
    /// What the pod asks for by annotation.
    package var addresses: [IPAddress]
    /// What the pod adds to the result.
    package var routes: [Route]
    /// Where it says so, for people: as ``PoolList/description``.
    package var routesSource: String
    /// What the pod wants reserved addresses for.
    package var purpose: String?

    /// - Parameters:
    ///   - demand: What the network configuration says.
    ///   - families: What it says of families.
    package init(
        _ demand: PoolDemand, families: [IPFamily]? = nil, facts: SelectionFacts
    ) throws(SelectionError) {
        let annotations = AnnotationReader(facts)
        try annotations.refuseMisspelt()
        configured = []
        switch demand {
        case .named(let patterns):
            configured = patterns
            pools = .listed(PoolList(.configuration, patterns))
        case .defaults: pools = .defaults
        case .inline(let elements): pools = .inline(elements)
        }
        if let list = try annotations.pools() { pools = .listed(list) }
        self.families = try annotations.families() ?? families
        addresses = try annotations.addresses()
        (routes, routesSource) = try annotations.routes()
        purpose = try annotations.purpose()
    }
}

/// Finds the annotations that count for one interface, and reads them.
private struct AnnotationReader {
    private struct Found {
        var source: PoolList.Source
        var key: String
        var text: String
        var isPod: Bool

        var description: String {
            "annotation \(key): \(text.debugDescription) of the \(isPod ? "pod" : "namespace")"
        }

        func error(_ problem: String) -> SelectionError { .annotation("\(description): \(problem)") }

        /// The elements of a list that is joined by commas; empty ones are left out. A comma in brackets joins numbers of
        /// one pattern, as in `node[1-3,5]`.
        var elements: [String] {
            var isInBrackets = false
            return text.split { character in
                if character == "[" { isInBrackets = true }
                if character == "]" { isInBrackets = false }
                return character == "," && !isInBrackets
            }
            .map { $0.drop { $0.isWhitespace } }
            .map { String($0.reversed().drop { $0.isWhitespace }.reversed()) }.filter { !$0.isEmpty }
        }
    }

    private let facts: SelectionFacts

    init(_ facts: SelectionFacts) { self.facts = facts }

    func refuseMisspelt() throws(SelectionError) {
        for (marks, subject) in [(facts.pod?.marks, "pod"), (facts.namespace, "namespace")] {
            for key in (marks?.annotations ?? [:]).keys.sorted() {
                guard let meant = AnnotationKey.meant(by: key) else { continue }
                throw .annotation("annotation \(key) of the \(subject) is unknown; is \(meant) meant?")
            }
        }
    }

    private func find(_ key: String, isPodOnly: Bool = false) -> Found? {
        let keys = ["\(key).\(facts.interface)", key]
        for key in keys {
            if let text = facts.pod?.marks.annotations[key] {
                return Found(source: .podAnnotation(key: key), key: key, text: text, isPod: true)
            }
        }
        for key in keys where !isPodOnly {
            if let text = facts.namespace?.annotations[key] {
                return Found(source: .namespaceAnnotation(key: key), key: key, text: text, isPod: false)
            }
        }
        return nil
    }

    /// One that names nothing is a mistake, and not the same as none.
    func pools() throws(SelectionError) -> PoolList? {
        guard let found = find(AnnotationKey.pools) else { return nil }
        var patterns: [NamePattern] = []
        for element in found.elements {
            do {
                let pattern = try NamePattern(parsing: element)
                guard !pattern.isExact || BerthAPI.isValidPoolName(element) else {
                    throw found.error("\(element.debugDescription) is not a name of an IPPool")
                }
                patterns.append(pattern)
            } catch let error as SelectionError {
                throw error
            } catch {
                throw found.error("\(error)")
            }
        }
        guard !patterns.isEmpty else { throw found.error("it names no pool; remove it, or name one") }
        return PoolList(found.source, patterns, text: found.text)
    }

    func families() throws(SelectionError) -> [IPFamily]? {
        guard let found = find(AnnotationKey.families) else { return nil }
        guard let families = IPFamily.list(found.elements) else {
            throw found.error("write IPv4, IPv6, or both, joined by a comma")
        }
        return families
    }

    func addresses() throws(SelectionError) -> [IPAddress] {
        guard let found = find(AnnotationKey.addresses, isPodOnly: true) else { return [] }
        var addresses: [IPAddress] = []
        for element in found.elements {
            do {
                addresses.append(try IPAddress(parsing: element))
            } catch {
                throw found.error("\(error)")
            }
        }
        guard !addresses.isEmpty else { throw found.error("it names no address; remove it, or name one") }
        guard Set(addresses).count == addresses.count else { throw found.error("it names an address twice") }
        return addresses
    }

    func purpose() throws(SelectionError) -> String? {
        guard let found = find(AnnotationKey.purpose, isPodOnly: true) else { return nil }
        guard ValidatedReservation.isPurpose(found.text) else {
            throw found.error(ValidatedReservation.purposeProblem(found.text))
        }
        return found.text
    }

    func routes() throws(SelectionError) -> ([Route], String) {
        guard let found = find(AnnotationKey.routes, isPodOnly: true) else { return ([], "") }
        do {
            let json = try JSON(parsing: Array(found.text.utf8))
            guard let elements = json.array else { throw found.error("it is no JSON list of routes") }
            var routes: [Route] = []
            for (index, element) in elements.enumerated() {
                let path = "[\(index)]"
                let spec = try IPPool.RouteSpec(try JSONFields(element, path: path))
                routes.append(try Route(spec, field: path, subnet: nil))
            }
            return (routes, found.description)
        } catch let error as SelectionError {
            throw error
        } catch {
            throw found.error("\(error)")
        }
    }
}

extension IPFamily {
    /// Families by their names, each once; nil where a name is none of them, or there is none at all.
    package static func list(_ names: [String]) -> [IPFamily]? {
        var families: [IPFamily] = []
        for name in names {
            guard let family = IPFamily.allCases.first(where: { $0.description == name }), !families.contains(family)
            else { return nil }
            families.append(family)
        }
        return families.isEmpty ? nil : families
    }
}
