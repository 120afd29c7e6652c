package import KubernetesClient
import KubernetesCore

/// What a program reaches the API server by has changed, and only a new start takes that in.
package struct ConfigurationChanged: Error, CustomStringConvertible {
    package let description: String

    /// - Parameter change: A clause.
    package init(_ change: String) { description = "\(change): start anew" }
}

/// Looks again and again at the files that a program got its configuration from.
///
/// Errors: `run` throws ``ConfigurationChanged``. Files that cannot be read are no change: they may be half written.
package struct ConfigurationWatch: Sendable {
    private let initial: ClientConfiguration
    private let load: @Sendable () throws -> ClientConfiguration
    private let interval: Duration
    private let clock: any AsyncClock

    package init(
        _ initial: ClientConfiguration, interval: Duration = .seconds(10), clock: any AsyncClock = BootClock(),
        load: @escaping @Sendable () throws -> ClientConfiguration
    ) {
        self.initial = initial
        self.load = load
        self.interval = interval
        self.clock = clock
    }

    /// - Throws: CancellationError too.
    package func run() async throws {
        while true {
            try await clock.sleep(until: clock.now() + interval)
            guard let now = try? load(), let change = now.change(from: initial) else { continue }
            throw ConfigurationChanged(change)
        }
    }
}
