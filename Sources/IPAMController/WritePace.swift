import KubernetesCore
import Synchronization

/// Keeps the writes of one object apart in time.
final class WritePace: Sendable {
    let interval: Duration
    private let written = Mutex<[String: Moment]>([:])

    init(_ interval: Duration) { self.interval = interval }

    /// How long to wait before the object may be written again; nil: it may be written now.
    func pause(_ name: String, now: Moment) -> Duration? {
        guard let next = written.withLock({ $0[name] }).map({ $0 + interval }), now < next else { return nil }
        return next - now
    }

    func wrote(_ name: String, now: Moment) { written.withLock { $0[name] = now } }

    func forget(_ name: String) { written.withLock { $0[name] = nil } }
}
