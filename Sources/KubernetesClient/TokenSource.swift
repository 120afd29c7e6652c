package import KubernetesCore

/// The bearer token of a long-lived program, whose file another program renews: kubelet, or `berth-node`.
///
/// Flow: the file is read again when the token is asked for and a minute has passed since it was read, or a second when
/// the server has refused the token meanwhile.
///
/// Guarantees: a file that cannot be read, or holds no token, leaves the one that was read last.
package struct TokenSource: ~Copyable {
    private static let lifetime = Duration.seconds(60)
    private static let lifetimeWhenRefused = Duration.seconds(1)

    private let file: String?
    private let read: (String) -> String?
    private var header: String?
    private var readAt: Moment?
    private var isRefused = false

    package init(
        _ configuration: ClientConfiguration,
        read: @escaping (String) -> String? = Self.read
    ) {
        file = configuration.tokenFile
        header = configuration.token.map(ConnectionOptions.authorization)
        self.read = read
    }

    package static func read(_ path: String) -> String? {
        try? Credentials.token(FileContents.read(path), source: path)
    }

    /// The header line that shows the token; nil without one.
    package mutating func authorization(now: Moment) -> String? {
        guard let file else { return header }
        let age = isRefused ? Self.lifetimeWhenRefused : Self.lifetime
        if let readAt, now < readAt + age { return header }
        // A file that cannot be read now is not tried again with every request.
        readAt = now
        isRefused = false
        if let token = read(file) { header = ConnectionOptions.authorization(token: token) }
        return header
    }

    /// The server refused the token.
    package mutating func expire() { isRefused = true }
}
