import KubernetesCore
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(1))) struct ResponsePipeTests {
    static let head = HTTPResponse(status: 200)
    static let broken = TransportFailure(kind: .interrupted, message: "m", mayHaveBeenSent: true)

    static func receive(_ text: String, _ pipe: ResponsePipe) -> Bool {
        Array(text.utf8).withUnsafeBytes { pipe.receive($0) }
    }

    /// What the next piece says, and whether the transfer is to go on.
    static func next(_ pipe: ResponsePipe) async -> (text: String?, goesOn: Bool) {
        let goesOn = Mutex(false)
        let piece = await pipe.next { goesOn.withLock { $0 = true } }
        let isToGoOn = goesOn.withLock { $0 }
        switch piece {
        case .success(let bytes): return (bytes.map { String(decoding: $0, as: UTF8.self) }, isToGoOn)
        case .failure(let failure): return ("failed: \(failure.kind)", isToGoOn)
        }
    }

    @Test func `What has come is taken at once, and then the end, for ever`() async {
        let pipe = ResponsePipe(mark: 100)
        pipe.receiveHead(Self.head)
        #expect(Self.receive("a", pipe))
        #expect(Self.receive("b", pipe))
        #expect(await pipe.head().map(\.status) == .success(200))
        #expect(await Self.next(pipe) == ("ab", false))
        #expect(Self.receive("c", pipe))
        pipe.finish(nil)
        #expect(await Self.next(pipe) == ("c", false))
        #expect(await Self.next(pipe) == (nil, false))
        #expect(await Self.next(pipe) == (nil, false))
    }

    @Test func `A reader that waits is given the next piece, or the end`() async {
        let pipe = ResponsePipe(mark: 1)
        let (began, sink) = AsyncStream.makeStream(of: Void.self)
        let reading = Task {
            var texts: [String?] = []
            for _ in 0..<3 {
                sink.yield()
                texts.append(await Self.next(pipe).text)
            }
            return texts
        }
        var turns = began.makeAsyncIterator()
        await turns.next()
        // Whether it waits already or not, nothing is refused: no more than one piece is here.
        #expect(Self.receive("first", pipe))
        await turns.next()
        #expect(Self.receive("second", pipe))
        await turns.next()
        pipe.finish(Self.broken)
        #expect(await reading.value == ["first", "second", "failed: interrupted"])
    }

    @Test func `Above the mark the transfer pauses until the reader has taken everything`() async {
        let pipe = ResponsePipe(mark: 3)
        #expect(Self.receive("ab", pipe))
        #expect(Self.receive("cd", pipe))
        #expect(!Self.receive("ef", pipe))
        #expect(!Self.receive("ef", pipe))
        #expect(await Self.next(pipe) == ("abcd", true))
        // The refused piece comes again.
        #expect(Self.receive("ef", pipe))
        #expect(await Self.next(pipe) == ("ef", false))
    }

    @Test func `A failure before the head is the head's, one after it the body's`() async {
        let (early, late) = (ResponsePipe(mark: 1), ResponsePipe(mark: 1))
        early.finish(Self.broken)
        #expect(await early.head().map(\.status) == .failure(Self.broken))
        #expect(early.status == nil)
        late.receiveHead(Self.head)
        late.finish(Self.broken)
        #expect(await late.head().map(\.status) == .success(200))
        #expect(late.status == 200)
        #expect(await Self.next(late).text == "failed: interrupted")
    }

    @Test func `An end without a head is a failure`() async {
        let pipe = ResponsePipe(mark: 1)
        let waiting = Task { await pipe.head() }
        await Task.yield()
        pipe.finish(nil)
        guard case .failure(let failure) = await waiting.value else {
            Issue.record("a head")
            return
        }
        #expect(failure.kind == .interrupted)
    }

    @Test(arguments: [true, false]) func `A reply is handed over, whoever comes first`(isEarly: Bool) async {
        let box = ReplyBox()
        let reply = Reply.success(HTTPResponse(status: 204))
        if isEarly { box.fill(reply) }
        let waiting = Task { await box.reply() }
        if !isEarly {
            await Task.yield()
            box.fill(reply)
        }
        #expect(await waiting.value.map(\.status) == .success(204))
    }
}
