import IPAMAPI
import IPAMEngine
import IPAMLedger
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

@Suite("Pending releases", .timeLimit(.minutes(1)))
struct PendingReleaseTests {
    /// A list of what is to be released is old as soon as it is read: while one of its releases is under way, an ADD may
    /// take up another.
    @Test(.controlPlane) func `what an ADD takes up again is not released any more`() async throws {
        let controlPlane = try await ControlPlane.ready()
        let pool = Subnets.next()
        try await controlPlane.makePool(pool.name, ["subnet": .string(pool.subnet4), "cooldown": "0s"])
        try await withTestNode(controlPlane) { node in
            let attachments = ["a", "b"].map {
                IPAMAPI.Attachment(networkName: "net", containerID: $0, interface: "eth0")
            }
            let configuration = try await controlPlane.configuration(as: .plugin)
            let held = try await controlPlane.withConnection(configuration) { connection in
                func claim(_ attachment: IPAMAPI.Attachment) throws -> HeldAddress? {
                    let start = connection.now()
                    let order = ClaimOrder(
                        attachment: attachment, pod: nil, netns: nil, demand: .named([pool.name]), startedAt: start)
                    var ledger = try node.ledger(connection)
                    return try ledger.claim(
                        order, deadlines: ClaimDeadlines(answer: start + .seconds(30), startedAt: start)
                    ).first
                }

                let names = try attachments.map { try claim($0)?.name }
                var offline = try node.ledger(OfflineTransport())
                var budget = ReleaseBudget()
                budget.release = .milliseconds(1)
                for attachment in attachments { try offline.delete(attachment, budget: budget) }

                // While the first release is under way, the other attachment is wanted again.
                var again: (IPAMAPI.Attachment, HeldAddress?)?
                let interrupted = InterruptedTransport(connection) { request in
                    let other = request.subject.name == names[0] ? 1 : 0
                    again = (attachments[other], try? claim(attachments[other]))
                }
                var ledger = try node.ledger(interrupted)
                ledger.carryOutReleases(limit: .max, deadline: .soon)
                #expect(ledger.journal.releasing() == [])
                return again
            }
            let (attachment, address) = try #require(held)
            let left = try await controlPlane.allocations(pool: pool.name)
            #expect(left.map(\.spec.attachment) == [attachment])
            #expect(left.map(\.metadata.name) == [address?.name])
        }
        try await controlPlane.removePools([pool.name])
    }
}

/// No server anywhere.
private final class OfflineTransport: Transport {
    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        requests.map { _ in .failure(TransportFailure(kind: .connect, message: "offline", mayHaveBeenSent: false)) }
    }

    func now() -> Moment { .now() }
    func sleep(until moment: Moment) { moment.sleep() }
}

/// Does something else before the first request is sent.
private final class InterruptedTransport: Transport {
    private let base: any Transport
    private var interruption: ((APIRequest) -> Void)?

    init(_ base: any Transport, _ interruption: @escaping (APIRequest) -> Void) {
        self.base = base
        self.interruption = interruption
    }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        if let interruption {
            self.interruption = nil
            interruption(requests[0])
        }
        return base.perform(requests, deadline: deadline)
    }

    func now() -> Moment { base.now() }
    func sleep(until moment: Moment) { base.sleep(until: moment) }
}
