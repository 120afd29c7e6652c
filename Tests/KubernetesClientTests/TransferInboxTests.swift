import KubernetesCore
import Testing

@testable import KubernetesClient

@Suite struct TransferInboxTests {
    @Test func `Commands are taken once, in their order, and every request has an ID of its own`() throws {
        #expect(LibCurl.initialisationFailure == nil)
        let inbox = TransferInbox(try #require(MultiHandle()))
        let request = APIRequest.get(.nodes, name: "n")
        func start() -> TransferID { inbox.start(request, .whole(deadline: .distantFuture, ReplyBox())) }
        let first = start()
        inbox.post(.cancel(first))
        let second = start()
        inbox.post(.unpause(second))
        inbox.post(.stop)
        #expect(first != second)
        let names = inbox.take().map { command in
            switch command {
            case .start(let id, _, _): "start \(id == first ? "first" : "second")"
            case .cancel(first): "cancel first"
            case .unpause(second): "unpause second"
            case .stop: "stop"
            case .cancel, .unpause: "another"
            }
        }
        #expect(names == ["start first", "cancel first", "start second", "unpause second", "stop"])
        #expect(inbox.take().isEmpty)
    }
}
