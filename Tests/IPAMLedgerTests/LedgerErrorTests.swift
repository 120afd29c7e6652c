import IPAMAPI
import IPAMEngine
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct LedgerErrorTests {
    private static let failure = APIError.transport(
        TransportFailure(kind: .connect, message: "connection refused", mayHaveBeenSent: false),
        APIRequest.get(.ipPools, name: "blue").subject)

    @Test func `a request that was tried more than once says how often`() {
        #expect(!"\(LedgerError.api(Self.failure, attempts: 1))".contains("attempts"))
        #expect("\(LedgerError.api(Self.failure, attempts: 3))".hasSuffix("(after 3 attempts)"))
    }

    @Test func `exhaustion says which pools, how large, and how full they are`() {
        let counts = PoolCounts(usable: 254, allocated: 250, cooling: 3, held: 1)
        let huge = PoolCounts(usable: .max, allocated: 7, cooling: 0, held: 0)
        let error = LedgerError.exhausted([
            LedgerError.PoolFill(pool: "blue", counts: counts), LedgerError.PoolFill(pool: "all", counts: huge),
        ])
        #expect(
            error.description == """
                no address is free: IPPool "blue": 254 usable addresses, 250 allocated, 1 held by claims, 3 cooling; \
                IPPool "all": more than 2^127 usable addresses, 7 allocated, 0 held by claims, 0 cooling
                """)
    }

    @Test func `one address is one address, and the node's own are counted apart`() {
        let counts = PoolCounts(usable: 1, allocated: 0, cooling: 0, held: 0)
        #expect(
            "\(LedgerError.PoolFill(pool: "blue", counts: counts, own: 1))"
                == "IPPool \"blue\": 1 usable address, 0 allocated, 0 held by claims, 0 cooling, 1 is an address of this node"
        )
        #expect(
            "\(LedgerError.PoolFill(pool: "blue", counts: counts, own: 2))".hasSuffix("2 are addresses of this node"))
    }

    @Test(
        arguments: [
            (LedgerError.busy(attachment), "c1"), (.deleted(attachment), "c1"), (.deadline("9 creates"), "9 creates"),
            (.malformed(name: "10.0.0.5", problem: "spec.state: missing"), "10.0.0.5\" is malformed: spec.state"),
            (.journal(JournalError(path: "/j/entries/a", problem: "torn")), "/j/entries/a"),
        ] as [(LedgerError, String)])
    func `an error names what it is about`(error: LedgerError, text: String) {
        #expect(error.description.contains(text))
    }
}
