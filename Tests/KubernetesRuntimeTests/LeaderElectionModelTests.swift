import KubernetesCore
import KubernetesRuntime
import Testing

/// Candidates that come, crash, sleep and stop, each with a clock of its own, and one Lease.
@Suite struct LeaderElectionModelTests {
    @Test(arguments: 0..<60) func `At no time do two lead, whatever is lost or late`(seed: Int) {
        var world = ElectionWorld(seed: UInt64(seed), faults: .many)
        world.run(seconds: 2000)
        #expect(world.overlaps == [])
        #expect(world.terms > 20)
        // Once nothing is lost any more, and what was late has come, somebody leads and goes on leading.
        world.calm()
        world.run(seconds: 120)
        let terms = world.terms
        #expect(world.leaders.count == 1)
        world.run(seconds: 600)
        #expect(world.leaders.count == 1)
        #expect(world.terms == terms)
        #expect(world.overlaps == [])
    }

    @Test(arguments: 0..<20) func `A leader that is stopped gives the Lease back, and another leads soon`(seed: Int) {
        var world = ElectionWorld(seed: UInt64(seed), faults: .none)
        world.run(seconds: 60)
        for _ in 0..<10 {
            guard let leader = world.leaders.first else {
                Issue.record("nobody leads")
                return
            }
            world.stop(leader)
            world.run(seconds: 1)
            #expect(world.holder != leader)
            // The next look of another is at most twice the retry period away, by a clock that may be slow.
            world.run(seconds: 5)
            #expect(world.leaders.count == 1)
            #expect(world.leaders != [leader])
            // By then the one that follows the stopped one has begun.
            world.run(seconds: 10)
        }
        #expect(world.overlaps == [])
    }

    @Test(arguments: 0..<20) func `A leader that crashes is followed after its duration`(seed: Int) {
        var world = ElectionWorld(seed: UInt64(seed), faults: .none)
        world.run(seconds: 60)
        for _ in 0..<10 {
            guard let leader = world.leaders.first else {
                Issue.record("nobody leads")
                return
            }
            world.crash(leader)
            world.run(seconds: 8)
            #expect(world.leaders == [])
            world.run(seconds: 16)
            #expect(world.leaders.count == 1)
        }
        #expect(world.overlaps == [])
    }
}
