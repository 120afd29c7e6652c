import IPAddressing
import JSONText
import TestSupport
import Testing

/// Checks that a network namespace is configured as a result of ADD says, whatever the result's version.
func expectConfigured(
    _ container: Container, _ outcome: PluginOutcome, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let result = try #require(outcome.result, sourceLocation: sourceLocation)
    #expect(
        try await container.addresses() == Set(outcome.interfaceAddresses), "addresses", sourceLocation: sourceLocation)
    let prefixes = try outcome.interfaceAddresses.map { try IPPrefix.parsingInterface($0).prefix }
    for family in [IPFamily.v4, .v6] {
        let expected = try result.routes(family)
        #expect(try await container.routes(family) == expected, "routes", sourceLocation: sourceLocation)
        let onLink = try await container.onLink(family)
        for prefix in prefixes where prefix.first.family == family {
            #expect(onLink.contains("\(prefix)"), sourceLocation: sourceLocation)
        }
    }
}

extension JSON {
    /// The routes of a result that are of a family: the destinations, as `ip` writes them, with their gateways.
    fileprivate func routes(_ family: IPFamily) throws -> [String: String] {
        var routes: [String: String] = [:]
        for route in self["routes"]?.array ?? [] {
            let prefix = try IPPrefix(parsing: route["dst"]?.string ?? "")
            guard prefix.first.family == family else { continue }
            routes[prefix.length == 0 ? "default" : "\(prefix)"] = route["gw"]?.string ?? "none"
        }
        return routes
    }

    /// The gateways beside the addresses of a result.
    var gateways: Set<String> { Set((self["ips"]?.array ?? []).compactMap { $0["gateway"]?.string }) }
}
