internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// An HTTPS proxy in front of an API server, which speaks HTTP/2 and HTTP/1.1 and does what its rules say.
///
/// A request that no rule is for is forwarded with all its headers, so that the API server sees the client's own token;
/// client certificates do not pass. Answers are streamed through, watches included. The rules are asked in the order in
/// which they were added; the first that is for the request, and not used up, acts.
///
///     try await withFaultProxy { proxy in
///         let gate = Gate()
///         proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .hold(gate))
///         …
///         try await gate.reached()
///         gate.open()
///         try await proxy.waitFor("the create") { $0.count("create", "ipallocations.ipam.berth.dev") == 1 }
///     }
package final class FaultProxy: Sendable {
    /// The API server behind a proxy.
    package struct Target: Hashable, Sendable {
        package var host: String
        package var port: Int
        /// What its certificate is verified with.
        package var caPEM: String

        package init(host: String, port: Int, caPEM: String) {
            self.host = host
            self.port = port
            self.caPEM = caPEM
        }
    }

    package let port: Int
    /// The certificate that signed the proxy's own.
    package let caPEM: String
    /// `https://127.0.0.1:<port>`
    package var url: String { "https://127.0.0.1:\(port)" }

    private let server: ProxyServer
    private let rules: RuleBook
    private let journal: ProxyLog

    fileprivate init(_ target: Target, speaksHTTP2: Bool) async throws {
        let authority = try await TestAuthority.shared()
        rules = RuleBook()
        journal = ProxyLog()
        server = try await ProxyServer.start(
            target, authority: authority, speaksHTTP2: speaksHTTP2, rules: rules, log: journal)
        port = server.port
        caPEM = authority.caPEM
    }

    fileprivate func stop() async { await server.stop() }

    /// Adds a rule after those that there are.
    @discardableResult
    package func when(
        _ matcher: RequestMatcher, _ count: RuleCount = .always, _ actions: FaultAction...
    ) -> FaultRule {
        let rule = FaultRule(matcher, count, actions)
        rules.add(rule)
        return rule
    }

    /// Removes all rules. What they hold stays held.
    package func removeRules() { rules.removeAll() }

    /// The requests so far, in the order in which they were complete.
    package var log: [ProxyLogEntry] { journal.entries.value }

    /// Forgets the requests so far, but not what is still under way.
    package func clearLog() { journal.clear() }

    /// Waits until the log fulfils a condition.
    package func waitFor(
        _ what: String, within limit: Duration = .seconds(60),
        _ condition: @escaping @Sendable ([ProxyLogEntry]) -> Bool
    ) async throws {
        try await journal.entries.wait(for: what, within: limit) { entries -> Void? in condition(entries) ? () : nil }
    }

    /// How many connections clients hold now.
    package var connectionCount: Int { server.connections.value }

    /// Waits until clients hold so many connections.
    package func waitForConnections(_ count: Int, within limit: Duration = .seconds(60)) async throws {
        try await server.connections.wait(for: "\(count) connections", within: limit) { now -> Void? in
            now == count ? () : nil
        }
    }

    /// Resets every connection that a client holds now.
    package func resetConnections() async { await server.resetConnections() }

    /// Refuses new connections, and resets those that there are, until `resume`.
    package func suspend() async { await server.suspend() }

    package func resume() async throws { try await server.resume() }
}

/// Lends a proxy, and leaves no socket behind.
///
/// - Parameters:
///   - target: nil is the shared control plane.
///   - speaksHTTP2: Whether the proxy offers h2 beside http/1.1.
package func withFaultProxy<Result>(
    to target: FaultProxy.Target? = nil, speaksHTTP2: Bool = true, isolation: isolated (any Actor)? = #isolation,
    _ body: (FaultProxy) async throws -> Result
) async throws -> Result {
    let proxy = try await FaultProxy(target ?? ControlPlane.required().target(), speaksHTTP2: speaksHTTP2)
    do {
        let result = try await body(proxy)
        await proxy.stop()
        return result
    } catch {
        await proxy.stop()
        throw error
    }
}

final class RuleBook: Sendable {
    private let rules = Mutex<[FaultRule]>([])

    func add(_ rule: FaultRule) { rules.withLock { $0.append(rule) } }

    func removeAll() {
        for rule in rules.withLock({ rules in
            defer { rules = [] }
            return rules
        }) {
            rule.remove()
        }
    }

    func actions(for request: ProxyRequest) -> [FaultAction] {
        for rule in rules.withLock(\.self) {
            if let actions = rule.claim(request) { return actions }
        }
        return []
    }
}

final class ProxyLog: Sendable {
    let entries = Observed<[ProxyLogEntry]>([])

    func append(_ request: ProxyRequest) { entries.update { $0.append(ProxyLogEntry(request: request)) } }

    func clear() { entries.update { $0 = [] } }

    /// Changes the entry of a request, unless it was forgotten.
    func change(_ number: Int, _ change: (inout ProxyLogEntry) -> Void) {
        entries.update { entries in
            guard let index = entries.lastIndex(where: { $0.request.number == number }) else { return }
            change(&entries[index])
        }
    }
}
