package import KubernetesCore

/// The clock of programs that wait without holding a thread.
package protocol AsyncClock: Sendable {
    func now() -> Moment

    /// Returns at the moment or later; throws when the task is cancelled first.
    func sleep(until moment: Moment) async throws(CancellationError)
}

/// The machine's own clock.
package struct BootClock: AsyncClock {
    package init() {}

    package func now() -> Moment { .now() }

    package func sleep(until moment: Moment) async throws(CancellationError) {
        do {
            // On Linux this clock is CLOCK_BOOTTIME too. A year stands for the distant future, which it cannot add.
            try await Task.sleep(for: min(moment - now(), Duration.seconds(365 * 86400)), clock: .continuous)
        } catch {
            throw CancellationError()
        }
    }
}
