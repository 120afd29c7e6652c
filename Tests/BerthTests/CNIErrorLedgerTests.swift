import CNIProtocol
import IPAMAPI
import IPAMEngine
import IPAMLedger
import JSONText
import KubernetesCore
import Testing

@testable import Berth

@Suite struct CNIErrorLedgerTests {
    private static let subject = APIRequest.Subject(verb: .create, resource: .ipAllocations, name: "10.0.0.1")
    private static let attachment = IPAMAPI.Attachment(networkName: "net", containerID: "c", interface: "eth0")

    private static func api(_ code: Int, _ reason: String = "") -> LedgerError {
        .api(.status(APIStatus(code: code, reason: reason, message: "text"), subject), attempts: 1)
    }

    private static func transport(_ kind: TransportFailure.Kind) -> LedgerError {
        .api(.transport(TransportFailure(kind: kind, message: "text", mayHaveBeenSent: false), subject), attempts: 2)
    }

    private static let cases: [(LedgerError, Int)] = [
        // What cures itself.
        (.deadline("text"), 11), (.podChanged("text"), 11), (.deleted(attachment), 11), (.busy(attachment), 11),
        (api(401), 11), (api(429), 11), (api(500), 11), (api(503), 11), (api(409, "Conflict"), 11),
        (transport(.timeout), 11), (transport(.connect), 11), (transport(.interrupted), 11), (transport(.resolve), 11),
        (.api(.notKubernetes(httpStatus: 200, excerpt: "<html>", subject), attempts: 1), 11),
        // What somebody must change.
        (api(403), 104), (transport(.untrusted), 105), (transport(.clientCertificate), 7), (api(422), 106),
        (.poolUnusable("text"), 100),
        (.exhausted([.init(pool: "p", counts: .init(usable: 5, allocated: 3, cooling: 1, held: 1))]), 101),
        (.addressRefused("text"), 102), (.notHeld("text"), 103), (.malformed(name: "n", problem: "text"), 106),
    ]

    @Test(arguments: cases)
    func `each failure has one code`(error: LedgerError, code: Int) {
        let answer = CNIError(error)
        #expect(answer.code == code, "\(error)")
        #expect(CNIError.allCodes.contains(answer.code))
        #expect(!answer.message.isEmpty)
    }

    @Test func `a server without the CRDs is told from one that is away`() {
        let unserved = LedgerError.api(
            .notKubernetes(httpStatus: 404, excerpt: "404 page not found", Self.subject), attempts: 4)
        let error = CNIError(unserved)
        #expect(error.code == CNIError.tryAgainLater)
        #expect(
            error.message
                == "the API server does not know ipam.berth.dev/v1alpha1: are the CRDs installed (config/crd)?")
        #expect(error.details.contains("404 page not found"))
    }

    @Test func `a missing permission is named`() {
        #expect(CNIError(Self.api(403)).details.contains("create ipallocations.ipam.berth.dev"))
    }

    @Test func `exhaustion says which pool, and how full it is`() {
        let fill = LedgerError.PoolFill(pool: "blue", counts: .init(usable: 5, allocated: 3, cooling: 1, held: 1))
        let message = CNIError(.exhausted([fill])).message
        for fragment in ["\"blue\"", "5 usable", "3 allocated", "1 held", "1 cooling"] {
            #expect(message.contains(fragment), "\(message)")
        }
    }

    @Test func `the number of attempts is told`() {
        #expect(CNIError(Self.transport(.connect)).message.contains("2 attempts"))
    }
}
