import KubernetesClient
import KubernetesCore
import Testing

@testable import KubernetesRuntime

@Suite(.timeLimit(.minutes(1))) struct LatchTests {
    @Test func `Everybody passes once it is open, before and after`() async throws {
        let latch = Latch()
        let waiters = (0..<5).map { _ in Task { try await latch.wait() } }
        await Task.yield()
        latch.open()
        for waiter in waiters { try await waiter.value }
        latch.open()
        try await latch.wait()
    }

    @Test func `A cancelled task does not wait, and takes nobody with it`() async throws {
        let latch = Latch()
        let (cancelled, waiter) = (Task { try await latch.wait() }, Task { try await latch.wait() })
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        latch.open()
        try await waiter.value
    }
}

@Suite(.timeLimit(.minutes(1))) struct SignalTests {
    @Test func `A signal that nobody waited for is kept, and several are one`() async {
        let (signal, clock) = (Signal(), ManualClock())
        signal.set()
        signal.set()
        await signal.wait(until: at(.seconds(5)), clock: clock)
        #expect(clock.now() == at(.zero))
        let second = Task {
            await signal.wait(until: at(.seconds(5)), clock: clock)
            return clock.now()
        }
        await clock.sleeper(until: at(.seconds(5)))
        clock.advance(to: at(.seconds(5)))
        #expect(await second.value == at(.seconds(5)))
    }

    @Test func `A signal ends a wait before its moment`() async {
        let (signal, clock) = (Signal(), ManualClock())
        let waiting = Task { await signal.wait(until: at(.seconds(5)), clock: clock) }
        await clock.sleeper(until: at(.seconds(5)))
        signal.set()
        await waiting.value
        #expect(clock.now() == at(.zero))
    }

    @Test func `A moment that has passed is not waited for`() async {
        let (signal, clock) = (Signal(), ManualClock())
        clock.advance(to: at(.seconds(5)))
        await signal.wait(until: at(.seconds(5)), clock: clock)
        await signal.wait(until: at(.seconds(4)), clock: clock)
    }

    @Test(arguments: [nil, at(.seconds(5))]) func `A cancelled task does not wait`(moment: Moment?) async {
        let (signal, clock) = (Signal(), ManualClock())
        let waiting = Task { await signal.wait(until: moment, clock: clock) }
        if let moment { await clock.sleeper(until: moment) }
        waiting.cancel()
        await waiting.value
        // The next one is woken all the same.
        let next = Task { await signal.wait() }
        signal.set()
        await next.value
    }
}
