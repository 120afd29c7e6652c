import JSONText
import KubernetesCore
import Testing

/// A transport whose clock moves only when it is told to.
final class ScriptedTransport: Transport {
    private(set) var time = Moment(nanoseconds: 0)
    private(set) var rounds: [[APIRequest]] = []
    private(set) var sleeps: [Moment] = []
    var roundTrip: Duration
    private let answer: (APIRequest) -> Reply

    init(roundTrip: Duration = .milliseconds(1), answer: @escaping (APIRequest) -> Reply) {
        self.roundTrip = roundTrip
        self.answer = answer
    }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        rounds.append(requests)
        time = min(time + roundTrip, deadline)
        return requests.map { time < deadline ? answer($0) : failure(.timeout, sent: true) }
    }

    func now() -> Moment { time }

    func sleep(until moment: Moment) {
        sleeps.append(moment)
        time = max(time, moment)
    }
}

/// Plays a fixed list of steps and notes what it was told.
struct Recital: Conversation {
    var steps: [ConversationStep]
    var received: [Bool] = []
    var remaining: [Duration] = []

    init(_ steps: ConversationStep...) { self.steps = steps }

    mutating func next(remaining: Duration) -> ConversationStep {
        self.remaining.append(remaining)
        return steps.isEmpty ? .finished : steps.removeFirst()
    }

    mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool) {
        if case .success = result { received.append(true) } else { received.append(false) }
    }
}

@Suite struct ConversationTests {
    static let deadline = Moment(nanoseconds: 1_000_000_000)
    static let pod = APIRequest.get(.pods, namespace: "d", name: "a")
    static let node = APIRequest.get(.nodes, name: "n")

    static func transport(roundTrip: Duration = .milliseconds(1)) -> ScriptedTransport {
        ScriptedTransport(roundTrip: roundTrip) { _ in
            response(200, ["kind": "X", "apiVersion": "v1"])
        }
    }

    @Test func `One round performs what every conversation wants to send`() {
        let transport = Self.transport()
        var talks = [Recital(.send(Self.pod), .send(Self.node)), Recital(.send(Self.node)), Recital()]
        var announced: [[APIRequest]] = []
        transport.drive(&talks, deadline: Self.deadline) { announced.append($0) }
        #expect(transport.rounds == [[Self.pod, Self.node], [Self.node]])
        #expect(announced == transport.rounds)
        #expect(talks.map(\.received) == [[true, true], [true], []])
        #expect(transport.sleeps.isEmpty)
    }

    @Test func `A pause lasts while others go on`() {
        let transport = Self.transport(roundTrip: .milliseconds(4))
        var talks = [
            Recital(.pause(.milliseconds(10)), .send(Self.pod)),
            Recital(.send(Self.node), .pause(.milliseconds(3)), .send(Self.node)),
        ]
        transport.drive(&talks, deadline: Self.deadline) { _ in }
        #expect(transport.rounds == [[Self.node], [Self.node], [Self.pod]])
        // The shorter pause, from 4 to 7 ms; the round that follows lasts until 11 ms, past the longer one.
        #expect(transport.sleeps == [Moment(nanoseconds: 7_000_000)])
    }

    @Test func `A pause beyond the deadline ends there`() {
        let transport = Self.transport()
        var talks = [Recital(.pause(.seconds(60)), .send(Self.pod))]
        transport.drive(&talks, deadline: Self.deadline) { _ in }
        #expect(transport.sleeps == [Self.deadline])
        #expect(transport.rounds.isEmpty)
        #expect(talks[0].steps.count == 1)
    }

    @Test func `A request that is cut off by the deadline is answered, and then nothing more is asked`() {
        let transport = Self.transport(roundTrip: .seconds(2))
        var talks = [Recital(.send(Self.pod), .send(Self.node))]
        transport.drive(&talks, deadline: Self.deadline) { _ in }
        #expect(transport.rounds == [[Self.pod]])
        #expect(talks[0].received == [false])
        #expect(talks[0].remaining == [.seconds(1)])
    }

    @Test func `Nothing begins after the deadline`() {
        let transport = Self.transport()
        var talks = [Recital(.send(Self.pod))]
        transport.drive(&talks, deadline: Moment(nanoseconds: 0)) { _ in }
        #expect(transport.rounds.isEmpty)
        #expect(talks[0].remaining.isEmpty)
    }

    @Test func `An error before sending keeps the round from being sent`() {
        struct DiskFull: Error {}
        let transport = Self.transport()
        var talks = [Recital(.send(Self.pod))]
        #expect(throws: DiskFull.self) {
            try transport.drive(&talks, deadline: Self.deadline) { _ throws(DiskFull) in throw DiskFull() }
        }
        #expect(transport.rounds.isEmpty)
    }

    @Test func `Several compare-and-swaps share their rounds`() throws {
        let object: JSON = [
            "kind": "IPAllocation", "apiVersion": "ipam.berth.dev/v1alpha1",
            "metadata": ["name": "a", "uid": "u", "resourceVersion": "1"],
        ]
        let transport = ScriptedTransport { _ in response(200, object) }
        var talks = ["a", "b", "c"].map { name in CompareAndSwap(.berths, name: name) { _ in .delete } }
        transport.drive(&talks, deadline: Self.deadline) { _ in }
        #expect(transport.rounds.map { $0.map(\.subject.description) }.count == 2)
        #expect(transport.rounds.map { $0.map(\.subject.verb) } == [[.get, .get, .get], [.delete, .delete, .delete]])
        for talk in talks { #expect(try talk.result?.get() == .done(nil)) }
    }
}
