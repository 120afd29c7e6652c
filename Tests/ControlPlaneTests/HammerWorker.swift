import IPAMAPI
import IPAddressing
import JSONText
import Synchronization
import TestSupport

/// One worker of a hammer: a runtime that does one thing after the other, or two at once, to a few sandboxes.
struct HammerWorker: Sendable {
    /// Failures that an ADD may end with: a full pool, and a DEL that came during the ADD.
    private static let expectedCodes: Set<Int> = [101, 11]

    private let hammer: Hammer
    private var slots: [HammerSlot]
    private var generator: SplitMix64

    init(_ hammer: Hammer, _ slots: [HammerSlot], _ generator: SplitMix64) {
        self.hammer = hammer
        self.slots = slots
        self.generator = generator
    }

    private var beliefs: RuntimeBeliefs { hammer.beliefs }

    /// Works until there were enough operations.
    mutating func hammer() async throws {
        while beliefs.operations < hammer.operations {
            let index = Int.random(in: slots.indices, using: &generator)
            var slot = slots[index]
            try await work(&slot)
            slots[index] = slot
        }
    }

    /// Detaches everything, and removes the pods.
    mutating func detachAll() async throws {
        for index in slots.indices {
            var slot = slots[index]
            if slot.held != nil { try await detach(&slot, mayKill: false) }
            slots[index] = slot
            try await hammer.controlPlane.delete(slot.pod)
        }
    }

    private mutating func work(_ slot: inout HammerSlot) async throws {
        // The machine's journal does not count as whole any more, and whoever comes next rebuilds it.
        if Int.random(in: 0..<200, using: &generator) == 0 { try Files.remove("\(slot.node.journal)/generation") }
        switch (slot.held, Int.random(in: 0..<100, using: &generator)) {
        case (nil, 0..<10) where slot.sandbox != nil:
            // As kubelet, which asks up to four times.
            try await detach(&slot)
        case (nil, 10..<15):
            try await attachAndDetachAtOnce(&slot)
        case (nil, _):
            try await attach(&slot)
        case (_?, 0..<25):
            try await attachAgain(&slot)
        case (_?, 25..<35):
            try await detachTwiceAtOnce(&slot)
        case (_?, _):
            try await detach(&slot)
        }
    }

    // MARK: What a runtime does

    private mutating func attach(_ slot: inout HammerSlot) async throws {
        let sandbox = try nextSandbox(&slot)
        let added = try await call("ADD", sandbox, slot, killAfter: killMoment())
        guard added.succeeded else {
            try note(added, slot)
            return try await detach(&slot)
        }
        try keep(added, sandbox, &slot)
    }

    /// A second ADD of what is attached: the same addresses, whatever happens to the process.
    private mutating func attachAgain(_ slot: inout HammerSlot) async throws {
        guard let sandbox = slot.sandbox else { return }
        let added = try await call("ADD", sandbox, slot, killAfter: killMoment())
        guard added.succeeded else {
            try note(added, slot)
            return try await detach(&slot)
        }
        if try added.parsedAddresses() != slot.held {
            beliefs.found("ADD again of \(sandbox.containerID) gave \(added.addresses), not \(slot.held ?? [])")
        }
    }

    /// A DEL, repeated until it is answered. From its start the addresses are nobody's.
    private mutating func detach(_ slot: inout HammerSlot, mayKill: Bool = true) async throws {
        guard let sandbox = slot.sandbox else { return }
        beliefs.release(sandbox.attachment())
        slot.held = nil
        while true {
            let deleted = try await call("DEL", sandbox, slot, killAfter: mayKill ? killMoment() : nil)
            if deleted.wasKilled { continue }
            if !deleted.succeeded { beliefs.found("DEL failed: \(deleted)") }
            return
        }
    }

    private mutating func detachTwiceAtOnce(_ slot: inout HammerSlot) async throws {
        guard let sandbox = slot.sandbox else { return }
        beliefs.release(sandbox.attachment())
        slot.held = nil
        let (first, second) = (killMoment(), killMoment())
        let current = slot
        async let one = call("DEL", sandbox, current, killAfter: first)
        async let other = call("DEL", sandbox, current, killAfter: second)
        let outcomes = try await [one, other]
        for deleted in outcomes where !deleted.succeeded && !deleted.wasKilled {
            beliefs.found("DEL failed: \(deleted)")
        }
        if outcomes.allSatisfy(\.wasKilled) { try await detach(&slot) }
    }

    /// A runtime that lost patience: its DEL meets its own ADD. Whichever wins, the next DEL ends it.
    private mutating func attachAndDetachAtOnce(_ slot: inout HammerSlot) async throws {
        let sandbox = try nextSandbox(&slot)
        let (first, second) = (killMoment(), killMoment())
        let current = slot
        async let add = call("ADD", sandbox, current, killAfter: first)
        async let del = call("DEL", sandbox, current, killAfter: second)
        let (added, deleted) = try await (add, del)
        if !added.succeeded { try note(added, slot) }
        if !deleted.succeeded, !deleted.wasKilled { beliefs.found("DEL failed: \(deleted)") }
        try await detach(&slot)
    }

    // MARK: Parts

    /// Mostly a new one; sometimes one that was detached before.
    private mutating func nextSandbox(_ slot: inout HammerSlot) throws -> TestSandbox {
        if let sandbox = slot.sandbox, Int.random(in: 0..<4, using: &generator) == 0 { return sandbox }
        let sandbox = try slot.node.newSandbox(pod: slot.pod)
        slot.sandbox = sandbox
        return sandbox
    }

    private func call(
        _ verb: String, _ sandbox: TestSandbox, _ slot: HammerSlot, killAfter: Duration?
    ) async throws -> PluginOutcome {
        var configuration = slot.demand.configuration
        if verb == "DEL", let result = slot.result { configuration["prevResult"] = result }
        let outcome = try await slot.node.runner.run(
            slot.node.call(verb, sandbox, configuration), killAfter: killAfter)
        beliefs.count(outcome)
        return outcome
    }

    /// For every fourth call, a moment within the time that calls take at present, or soon after.
    private mutating func killMoment() -> Duration? {
        guard Int.random(in: 0..<4, using: &generator) == 0 else { return nil }
        return beliefs.meanDuration * Double.random(in: 0..<1.3, using: &generator)
    }

    private func keep(_ added: PluginOutcome, _ sandbox: TestSandbox, _ slot: inout HammerSlot) throws {
        let addresses = try added.parsedAddresses()
        if addresses.count != slot.demand.addressCount {
            beliefs.found("ADD gave \(added.addresses) for \(slot.demand.addressCount) pools")
        }
        slot.held = addresses
        slot.result = added.result
        beliefs.hold(sandbox.attachment(), addresses)
    }

    private func note(_ added: PluginOutcome, _ slot: HammerSlot) throws {
        if added.wasKilled { return }
        guard let failure = added.failure, Self.expectedCodes.contains(failure.code) else {
            return beliefs.found("ADD failed: \(added)")
        }
        beliefs.failed(failure.code)
    }
}

/// A pod of a node, with the sandbox that it has or had last.
struct HammerSlot: Sendable {
    let node: TestNode
    let pod: TestPod
    let demand: HammerDemand
    var sandbox: TestSandbox?
    /// What the runtime was told; nil when the sandbox is not attached.
    var held: Set<IPAddress>?
    /// The result of the last ADD.
    var result: JSON?

    init(node: TestNode, pod: TestPod, demand: HammerDemand) {
        self.node = node
        self.pod = pod
        self.demand = demand
    }
}

/// What the runtimes believe to hold, all together.
final class RuntimeBeliefs: Sendable {
    struct Holding: Sendable, Equatable {
        /// Tells two holdings of one attachment apart.
        let serial: Int
        let addresses: Set<IPAddress>
    }

    struct State: Sendable {
        var holdings: [Attachment: Holding] = [:]
        var holders: [IPAddress: Attachment] = [:]
        var operations = 0
        var kills = 0
        /// ADDs that gave addresses for the first time.
        var claims = 0
        /// Failed ADDs by their code.
        var failures: [Int: Int] = [:]
        var duplicates: [String] = []
        var problems: [String] = []
        fileprivate var meanDuration: Duration = .milliseconds(30)
    }

    private let observed = Observed(State())

    var state: State { observed.value }
    var operations: Int { observed.value.operations }
    var meanDuration: Duration { observed.value.meanDuration }
    var believed: [Attachment: Set<IPAddress>] { state.holdings.mapValues(\.addresses) }

    /// Waits until there were so many operations.
    func reach(_ operations: Int) async throws {
        try await observed.wait(for: "operation \(operations)", within: .seconds(120)) { state -> Void? in
            state.operations >= operations ? () : nil
        }
    }

    func count(_ outcome: PluginOutcome) {
        observed.update { state in
            state.operations += 1
            if outcome.wasKilled {
                state.kills += 1
            } else {
                state.meanDuration = (state.meanDuration * 15 + min(outcome.duration, state.meanDuration * 4)) / 16
            }
        }
    }

    func hold(_ attachment: Attachment, _ addresses: Set<IPAddress>) {
        observed.update { state in
            state.claims += 1
            state.holdings[attachment] = Holding(serial: state.claims, addresses: addresses)
            for address in addresses {
                if let other = state.holders[address] {
                    state.duplicates.append("\(address) was given to \(other) and to \(attachment)")
                }
                state.holders[address] = attachment
            }
        }
    }

    func release(_ attachment: Attachment) {
        observed.update { state in
            for address in state.holdings.removeValue(forKey: attachment)?.addresses ?? []
            where state.holders[address] == attachment {
                state.holders[address] = nil
            }
        }
    }

    func failed(_ code: Int) { observed.update { $0.failures[code, default: 0] += 1 } }

    func found(_ problem: String) { observed.update { $0.problems.append(problem) } }
}

extension PluginOutcome {
    var wasKilled: Bool { process.ending == .signalled(9) }
}
