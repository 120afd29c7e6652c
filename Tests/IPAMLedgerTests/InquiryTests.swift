import IPAMAPI
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct InquiryTests {
    private static let request = APIRequest.get(.ipAllocations, name: "10.0.0.5")

    /// An inquiry after some answers; the pauses that it wanted in between.
    private func inquiry(_ answers: Answer...) throws -> (inquiry: Inquiry, pauses: [Duration]) {
        var inquiry = Inquiry(Self.request)
        var pauses: [Duration] = []
        for answer in answers {
            if case .pause(let pause) = inquiry.next(remaining: .seconds(3)) { pauses.append(pause) }
            #expect(inquiry.next(remaining: .seconds(3)) == .send(Self.request))
            inquiry.receive(try answer.result(for: Self.request), wasSentTwice: answer.isTwice)
        }
        return (inquiry, pauses)
    }

    @Test func `an answer ends it`() throws {
        var inquiry = try inquiry(.object(.ours)).inquiry
        #expect(inquiry.next(remaining: .seconds(3)) == .finished)
        #expect(try inquiry.outcome.get()["spec"]?["state"] == "Bound")
    }

    @Test(arguments: [Answer.timeout, .unreachable, .tooMany, .failed, .html(200), .html(404), .unserved])
    func `a failure that may pass is followed by a pause and another request`(answer: Answer) throws {
        let (inquiry, pauses) = try inquiry(answer, answer, .object(.ours))
        #expect(pauses.count == 2)
        #expect(throws: Never.self) { try inquiry.outcome.get() }
    }

    @Test(arguments: [Answer.forbidden, .unauthorized, .invalid, .untrusted, .notFound, .conflict, .unreadable])
    func `a failure that does not pass ends it`(answer: Answer) throws {
        var inquiry = try inquiry(.timeout, answer).inquiry
        #expect(inquiry.next(remaining: .seconds(3)) == .finished)
        guard case .failure(.api(_, attempts: 2)) = inquiry.outcome else {
            Issue.record("\(inquiry.outcome)")
            return
        }
    }

    @Test func `a server that does not know the kind is asked four times`() throws {
        #expect(Inquiry.maximumUnserved == 4)
        var known = try inquiry(.unserved, .unserved, .unserved, .object(.ours)).inquiry
        #expect(known.next(remaining: .seconds(3)) == .finished)
        #expect(throws: Never.self) { try known.outcome.get() }
        var unknown = try inquiry(.unserved, .unserved, .unserved, .unserved).inquiry
        #expect(unknown.next(remaining: .seconds(3)) == .finished)
        guard case .failure(.api(let error, attempts: 4)) = unknown.outcome else {
            Issue.record("\(unknown.outcome)")
            return
        }
        #expect(error.isUnserved)
    }

    @Test func `where an answer is dispensable, a server that does not know the kind is asked once`() throws {
        var unknown = Inquiry(Self.request, isOptional: true)
        unknown.receive(try Answer.unserved.result(for: Self.request), wasSentTwice: false)
        #expect(unknown.next(remaining: .seconds(3)) == .finished)
        #expect(unknown.wasUnserved)
        // Whatever else may pass is waited for all the same.
        var busy = Inquiry(Self.request, isOptional: true)
        busy.receive(try Answer.tooMany.result(for: Self.request), wasSentTwice: false)
        #expect(busy.result == nil && !busy.wasUnserved)
    }

    @Test func `the server's Retry-After is kept, up to a bound`() throws {
        #expect(try inquiry(.status(429, "", retryAfter: 3), .timeout).pauses == [.seconds(3)])
        #expect(try inquiry(.status(503, "", retryAfter: 86_400), .timeout).pauses == [.seconds(10)])
    }

    @Test func `at the deadline it says what was tried`() throws {
        let never = Inquiry(Self.request).outcome
        #expect(
            problem { try never.get() }
                == "deadline passed: get ipallocations.ipam.berth.dev \"10.0.0.5\" was not answered")
        let outcome = try inquiry(.tooMany, .tooMany).inquiry.outcome
        #expect(
            problem { try outcome.get() }
                == "get ipallocations.ipam.berth.dev \"10.0.0.5\": the API server answered 429 TooManyRequests: no"
                + " (after 2 attempts)")
    }

    @Test func `only a proven absence is nil`() throws {
        #expect(try inquiry(.notFound).inquiry.outcome.unlessNotFound() == nil)
        #expect(try inquiry(.object(.ours)).inquiry.outcome.unlessNotFound() != nil)
        for answer in [Answer.unserved, .html(404), .forbidden, .timeout] {
            let outcome = try inquiry(answer).inquiry.outcome
            #expect(throws: LedgerError.self, "\(answer)") { try outcome.unlessNotFound() }
        }
    }

    private func problem(_ body: () throws -> some Any) -> String? {
        do {
            _ = try body()
            return nil
        } catch {
            return "\(error)"
        }
    }
}
