/// Where an API server is: the parts of a URL such as `https://10.0.0.1:6443` or `https://rancher.example/k8s/c-1`.
package struct ServerAddress: Hashable, Sendable {
    package enum Scheme: String, Sendable {
        case http, https

        var defaultPort: UInt16 {
            switch self {
            case .http: 80
            case .https: 443
            }
        }
    }

    package let scheme: Scheme
    /// A name or an address, an IPv6 address without brackets.
    package let host: String
    package let port: UInt16
    /// What comes before the paths of the API: empty, or begins with a slash and does not end with one.
    package let basePath: String

    package init(scheme: Scheme = .https, host: String, port: UInt16, basePath: String = "") {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.basePath = basePath
    }

    /// Nil for what is no plain http or https URL: one with user information, a query or a fragment too.
    package init?(url: String) {
        guard let (schemeText, rest) = Self.schemeAndRest(url), let scheme = Scheme(rawValue: schemeText) else {
            return nil
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        guard let (host, port) = Self.hostAndPort(rest[..<slash]) else { return nil }
        var path = rest[slash...]
        while path.last == "/" { path = path.dropLast() }
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        else { return nil }
        self.init(scheme: scheme, host: host, port: port ?? scheme.defaultPort, basePath: String(path))
    }

    /// What stands before and after `://`, the scheme in lower case.
    static func schemeAndRest(_ url: String) -> (scheme: String, rest: Substring)? {
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else { return nil }
        return (url[..<colon].lowercased(), url[colon...].dropFirst(3))
    }

    private static func hostAndPort(_ text: Substring) -> (host: String, port: UInt16?)? {
        let host: Substring
        var rest: Substring
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
            guard host.contains(":"), isIPv6(host) else { return nil }
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            host = text[..<colon]
            rest = text[colon...]
            guard isHostName(host) else { return nil }
        }
        guard !rest.isEmpty else { return (String(host), nil) }
        guard rest.removeFirst() == ":" else { return nil }
        guard let port = port(rest) else { return nil }
        return (String(host), port)
    }

    /// 1…65535 in digits; nil for anything else.
    static func port(_ text: some StringProtocol) -> UInt16? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let port = UInt16(text),
            port > 0
        else { return nil }
        return port
    }

    static func isHostName(_ text: some StringProtocol) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    /// Only its characters: whether it is an address is for the resolver to say.
    static func isIPv6(_ text: some StringProtocol) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                    UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// `host:port` as in a URL, an IPv6 address in brackets.
    package var authority: String { "\(Self.bracketed(host)):\(port)" }

    static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

    package var url: String { "\(scheme.rawValue)://\(authority)\(basePath)" }
}
