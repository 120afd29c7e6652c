import JSONText
import KubernetesCore
import Testing

@Suite struct CompareAndSwapTests {
    static let remaining = Duration.seconds(10)

    static func object(_ version: Int, uid: String = "u", spec: JSON = [:]) -> JSON {
        [
            "kind": "IPAllocation", "apiVersion": "ipam.berth.dev/v1alpha1",
            "metadata": ["name": "10.0.0.1", "uid": .string(uid), "resourceVersion": .string("\(version)")],
            "spec": spec,
        ]
    }

    static func make(
        starting: JSON? = nil, subresource: String? = nil, maximumConflicts: Int = 10,
        decide: @escaping (JSON) throws -> Change
    ) -> CompareAndSwap {
        CompareAndSwap(
            .berths, name: "10.0.0.1", starting: starting, subresource: subresource,
            maximumConflicts: maximumConflicts, generator: LargestGenerator(), decide: decide)
    }

    /// The next request, and the machine after its answer.
    static func answer(_ machine: inout CompareAndSwap, _ reply: Reply) throws -> APIRequest {
        guard case .send(let request) = machine.next(remaining: remaining) else {
            throw TransportFailure(kind: .cancelled, message: "no request", mayHaveBeenSent: false)
        }
        machine.receive(interpret(reply, to: request), wasSentTwice: false)
        return request
    }

    static func outcome(_ machine: CompareAndSwap) throws -> ChangeOutcome? { try machine.result?.get() }

    @Test func `It reads, decides and writes on condition of what it read`() throws {
        var machine = Self.make { object in
            #expect(object == Self.object(7))
            return .update(["metadata": ["resourceVersion": "stale", "uid": "other", "labels": [:]], "spec": 1])
        }
        #expect(try Self.answer(&machine, response(200, Self.object(7))) == getBerth)
        let write = try Self.answer(&machine, response(200, Self.object(8)))
        #expect(write.subject.verb == .update)
        #expect(write.pathAndQuery == "/apis/ipam.berth.dev/v1alpha1/ipallocations/10.0.0.1?timeout=9s")
        #expect(
            write.body.map { String(decoding: $0, as: UTF8.self) }
                == #"{"metadata":{"resourceVersion":"7","uid":"u","labels":{}},"spec":1}"#)
        #expect(machine.next(remaining: Self.remaining) == .finished)
        #expect(try Self.outcome(machine) == .done(Self.object(8)))
        #expect(machine.attempts == 2)
    }

    static let writes: [(Change, APIRequest)] = [
        (
            .patch(.merge(["spec": 1])),
            .patch(
                .berths, name: "10.0.0.1",
                patch: .merge(["spec": 1, "metadata": ["uid": "u", "resourceVersion": "7"]]))
        ),
        (
            .delete,
            .delete(.berths, name: "10.0.0.1", preconditions: Preconditions(uid: "u", resourceVersion: "7"))
        ),
    ]

    @Test(arguments: writes)
    func `Every write names uid and resourceVersion`(change: Change, request: APIRequest) throws {
        var machine = Self.make(starting: Self.object(7)) { _ in change }
        let sent = try Self.answer(&machine, response(200, Self.object(8)))
        #expect(sent == request.limited(to: Self.remaining))
        #expect(try Self.outcome(machine) == .done(change == .delete ? Optional.none : Self.object(8)))
    }

    @Test func `Updates and patches can address a subresource`() throws {
        var machine = Self.make(starting: Self.object(7), subresource: "status") { .update($0) }
        #expect(try Self.answer(&machine, response(200, Self.object(8))).subject.subresource == "status")
    }

    @Test func `A known state spares the read, and a decision to leave it spares everything`() throws {
        var machine = Self.make(starting: Self.object(7)) { _ in .leave }
        #expect(machine.next(remaining: Self.remaining) == .finished)
        #expect(try Self.outcome(machine) == .left)
        #expect(machine.attempts == 0)
    }

    @Test func `What decide throws ends it`() {
        struct Refusal: Error {}
        let machine = Self.make(starting: Self.object(7)) { _ in throw Refusal() }
        #expect(throws: Refusal.self) { try Self.outcome(machine) }
    }

    static let incomplete: [JSON] = [
        [:], ["metadata": ["name": "a"]], ["metadata": ["name": "a", "uid": "u"]],
        ["metadata": ["name": "a", "uid": "", "resourceVersion": "1"]],
    ]

    @Test(arguments: incomplete)
    func `An object without uid or resourceVersion is never written`(object: JSON) {
        var machine = Self.make(starting: object) { .update($0) }
        #expect(machine.next(remaining: Self.remaining) == .finished)
        #expect(throws: APIError.self) { try Self.outcome(machine) }
    }

    static let conflicts: [Reply] = [
        response(409, statusBody(409, "Conflict")),
        response(
            422,
            statusBody(422, "Invalid", details: ["causes": [["field": "metadata.uid", "message": "immutable"]]])),
    ]

    @Test(arguments: conflicts)
    func `A conflict leads back to reading and deciding`(conflict: Reply) throws {
        var seen: [JSON] = []
        var machine = Self.make(starting: Self.object(7)) { object in
            seen.append(object)
            return seen.count == 1 ? .delete : .leave
        }
        _ = try Self.answer(&machine, conflict)
        #expect(try Self.answer(&machine, response(200, Self.object(9, uid: "v"))) == getBerth)
        #expect(seen == [Self.object(7), Self.object(9, uid: "v")])
        #expect(try Self.outcome(machine) == .left)
        #expect(machine.lastError?.disposition == .conflict)
    }

    @Test func `Conflicts are bounded and the pauses between them grow`() throws {
        var machine = Self.make(starting: Self.object(7), maximumConflicts: 3) { .update($0) }
        var pauses: [Duration] = []
        var requests = 0
        loop: while true {
            switch machine.next(remaining: Self.remaining) {
            case .finished: break loop
            case .pause(let duration): pauses.append(duration)
            case .send(let request):
                requests += 1
                let reply =
                    request.isMutation
                    ? response(409, statusBody(409, "Conflict")) : response(200, Self.object(7 + requests))
                machine.receive(interpret(reply, to: request), wasSentTwice: false)
            }
        }
        #expect(requests == 7)  // four writes, and a read between each two
        #expect(pauses == [.milliseconds(50), .milliseconds(100)])
        let error = #expect(throws: APIError.self) { try Self.outcome(machine) }
        #expect(error?.isConflict == true)
    }

    static let absent = response(404, statusBody(404, "NotFound", details: berthDetails))

    @Test(arguments: [true, false])
    func `An object that is not there is gone`(isReadFirst: Bool) throws {
        var machine = Self.make(starting: isReadFirst ? Optional.none : Self.object(7)) { _ in .delete }
        _ = try Self.answer(&machine, Self.absent)
        #expect(try Self.outcome(machine) == .gone)
    }

    @Test func `A 404 that does not name the object is tried again`() throws {
        var machine = Self.make { _ in .leave }
        _ = try Self.answer(&machine, response(404, text: "404 page not found"))
        #expect(machine.next(remaining: Self.remaining) == .pause(.milliseconds(50)))
        #expect(machine.next(remaining: Self.remaining) == .send(getBerth))
        #expect(machine.result == nil)
    }

    @Test func `It waits as long as the server asks, within a bound`() throws {
        for (asked, expected) in [(2, 2), (0, 0), (3600, 10)] {
            var machine = CompareAndSwap(
                .berths, name: "10.0.0.1", backoff: Backoff(base: .zero), generator: LargestGenerator()
            ) { _ in .leave }
            let reply = response(
                429, statusBody(429, "TooManyRequests", details: ["retryAfterSeconds": .int(asked)]))
            _ = try Self.answer(&machine, reply)
            #expect(machine.next(remaining: Self.remaining) == .pause(.seconds(expected)))
        }
    }

    static let ends: [Reply] = [
        response(400, statusBody(400, "BadRequest")), response(401, statusBody(401, "Unauthorized")),
        response(403, statusBody(403, "Forbidden")), response(422, statusBody(422, "Invalid")),
        failure(.untrusted, sent: false),
    ]

    @Test(arguments: ends)
    func `What cannot succeed ends it at once`(reply: Reply) throws {
        var machine = Self.make(starting: Self.object(7)) { _ in .delete }
        _ = try Self.answer(&machine, reply)
        #expect(machine.next(remaining: Self.remaining) == .finished)
        #expect(throws: APIError.self) { try Self.outcome(machine) }
    }

    /// The read after a lost answer: nothing changed yet, it was done, it is gone.
    static let afterwards: [(Reply, isOpen: Bool)] = [
        (response(200, object(7)), true), (response(200, object(8)), false), (absent, false),
    ]

    @Test(arguments: afterwards)
    func `A write whose answer was lost is settled by reading, not by writing again`(
        read: Reply, isOpen: Bool
    ) throws {
        var decisions = 0
        var machine = Self.make(starting: Self.object(7)) { _ in
            decisions += 1
            return decisions == 1 ? .delete : .leave
        }
        _ = try Self.answer(&machine, failure(.interrupted, sent: true))
        #expect(machine.mayHaveCommitted)
        #expect(machine.next(remaining: Self.remaining) == .pause(.milliseconds(50)))
        #expect(try Self.answer(&machine, read) == getBerth)
        #expect(machine.mayHaveCommitted == isOpen)
    }

    @Test func `A write that was never sent leaves nothing open`() throws {
        var machine = Self.make(starting: Self.object(7)) { _ in .delete }
        _ = try Self.answer(&machine, failure(.connect, sent: false))
        #expect(!machine.mayHaveCommitted)
        #expect(machine.result == nil)
    }
}
