/// A barrier that a test closes in another's way: whoever arrives waits until the test opens it.
///
/// A gate is closed at first and, once opened, stays open.
package final class Gate: Sendable, CustomStringConvertible {
    private struct State: Sendable {
        var arrivals = 0
        var isOpen = false
    }

    package let name: String
    private let state = Observed(State())

    package init(_ name: String = "gate") { self.name = name }

    package var isOpen: Bool { state.value.isOpen }
    package var arrivals: Int { state.value.arrivals }
    package var description: String { "\(name): \(arrivals) arrived, \(isOpen ? "open" : "closed")" }

    /// Waits until `count` have arrived, whether they have passed meanwhile or not.
    package func reached(_ count: Int = 1, within limit: Duration = .seconds(60)) async throws {
        try await state.wait(for: "arrival \(count) at \(name)", within: limit) { state -> Void? in
            state.arrivals >= count ? () : nil
        }
    }

    package func open() { state.update { $0.isOpen = true } }

    /// Arrives, and goes on when the gate is open.
    package func pass() async {
        await state.arrive { $0.arrivals += 1 }.found { state -> Void? in state.isOpen ? () : nil }
    }

    /// Arrives, and calls `body` once when the gate is open, on the thread that opens it.
    package func pass(_ body: @escaping @Sendable () -> Void) {
        state.arrive { $0.arrivals += 1 }.whenFound({ state -> Void? in state.isOpen ? () : nil }, body)
    }
}

extension Observed {
    fileprivate func arrive(_ change: (inout Value) -> Void) -> Self {
        update(change)
        return self
    }
}
