import IPAMController
import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct ProofTurnsTests {
    private static let start = Moment(nanoseconds: 1_000_000_000_000)

    @Test func `the burst goes at once, and each of the others has a moment of its own at the rate`() {
        var turns = ProofTurns(RateLimit(perSecond: 100, burst: 10))
        for _ in 0..<10 { #expect(turns.take(now: Self.start, waiting: 1000) == nil) }
        let moments = (0..<990).compactMap { _ in turns.take(now: Self.start, waiting: 1000) }
        #expect(moments.count == 990 && Set(moments).count == 990)
        #expect(moments.first == Self.start + .milliseconds(10))
        #expect(moments.last == Self.start + .milliseconds(9900))
    }

    @Test func `who comes at the moment that was given has the turn`() {
        var turns = ProofTurns(RateLimit(perSecond: 100, burst: 10))
        for _ in 0..<10 { _ = turns.take(now: Self.start, waiting: 100) }
        for moment in (0..<90).compactMap({ _ in turns.take(now: Self.start, waiting: 100) }) {
            #expect(turns.take(now: moment, waiting: 100) == nil)
        }
    }

    @Test func `moments of those who never come are given again`() {
        var turns = ProofTurns(RateLimit(perSecond: 100, burst: 1))
        _ = turns.take(now: Self.start, waiting: 5)
        for _ in 0..<1000 {
            let moment = turns.take(now: Self.start, waiting: 5)
            #expect(moment.map { $0 <= Self.start + .milliseconds(60) } == true)
        }
    }
}
