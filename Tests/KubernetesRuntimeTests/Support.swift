import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Synchronization

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Always the largest number, so that a jittered delay is its maximum.
struct LargestGenerator: RandomNumberGenerator, Sendable {
    mutating func next() -> UInt64 { .max }
}

func at(_ duration: Duration) -> Moment { Moment(nanoseconds: 0) + duration }

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock(\.self) }

    func update(_ change: (inout Value) -> Void) {
        state.withLock { value in
            var copy = value
            change(&copy)
            value = copy
        }
    }
}

/// A clock that stands still until it is told to move.
final class ManualClock: AsyncClock {
    private struct Sleeper {
        let until: Moment
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var time = Moment(nanoseconds: 0)
        var lastID = 0
        var sleepers: [Int: Sleeper] = [:]
        /// Woken, to look for themselves, when somebody begins to sleep.
        var watchers: [CheckedContinuation<Bool, Never>] = []
    }

    private let state = Mutex(State())

    func now() -> Moment { state.withLock(\.time) }

    func sleep(until moment: Moment) async throws(CancellationError) {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (isOver, watchers) = state.withLock { state in
                    if state.time >= moment || Task.isCancelled {
                        return (true, [CheckedContinuation<Bool, Never>]())
                    }
                    state.sleepers[id] = Sleeper(until: moment, continuation: continuation)
                    defer { state.watchers = [] }
                    return (false, state.watchers)
                }
                if isOver { continuation.resume() }
                for watcher in watchers { watcher.resume(returning: false) }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume()
        }
        if Task.isCancelled { throw CancellationError() }
    }

    func advance(to moment: Moment) {
        let woken = state.withLock { state in
            state.time = max(state.time, moment)
            let due = state.sleepers.filter { $0.value.until <= state.time }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    /// Returns when somebody sleeps until exactly this moment.
    func sleeper(until moment: Moment) async {
        var isThere = false
        while !isThere {
            isThere = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                let isOver = state.withLock { state in
                    if state.sleepers.values.contains(where: { $0.until == moment }) { return true }
                    state.watchers.append(continuation)
                    return false
                }
                if isOver { continuation.resume(returning: true) }
            }
        }
    }
}

let forbidden = APIError.status(
    APIStatus(code: 403, reason: "Forbidden", message: "m"), .init(verb: .list, resource: .pods))

func status(_ code: Int, _ reason: String = "", retryAfterSeconds: Int? = nil) -> APIError {
    .status(
        APIStatus(code: code, reason: reason, message: "m", details: .init(retryAfterSeconds: retryAfterSeconds)),
        .init(verb: .list, resource: .pods))
}

func transport(_ kind: TransportFailure.Kind) -> APIError {
    .transport(
        TransportFailure(kind: kind, message: "m", mayHaveBeenSent: true), .init(verb: .list, resource: .pods))
}

func object(
    _ name: String, namespace: String? = nil, uid: String = "u", version: String = "1", value: JSON? = "v"
) -> JSON {
    var metadata: JSON = ["name": .string(name), "uid": .string(uid), "resourceVersion": .string(version)]
    if let namespace { metadata["namespace"] = .string(namespace) }
    var object: JSON = ["metadata": metadata]
    object["value"] = value
    return object
}
