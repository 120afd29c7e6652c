import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// Attachments that meet at one claim, while what one of them read beside its binding grows old.
@Suite("Identity in races", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityRaceTests {
    @Test(arguments: [true, false])
    func `what is released while the claim is bound is taken, and nothing new`(isPublished: Bool) async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let pod = try await identity.pod()
            let (old, new) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            let added = try await identity.add(old, pool).checked()
            if isPublished {
                try await identity.publish(added.addresses, of: try #require(try await identity.claims().first))
            }
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.bindClaim, .first(1), .hold(gate))
            let call = try bench.start("ADD", new, pool)
            try await gate.reached()
            // It sees that the other sandbox has the address.
            let verb = isPublished ? "get" : "list"
            try await bench.proxy.waitFor("the read") { log in
                log.filter(verb, "ipallocations.ipam.berth.dev").contains { $0.fate.serverStatus == 200 }
            }
            try await identity.del(old, pool)
            gate.open()
            let again = try await call.outcome().checked()
            #expect(again.addresses == added.addresses)
            #expect(bench.proxy.log.count(verb, "ipallocations.ipam.berth.dev") == 2)
            #expect(try await bench.allocations(pool).count == 1)
        }
    }

    @Test func `what is entered for the claim while it is bound makes the ADD wait, and nothing new is taken`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let pod = try await identity.pod()
            let (old, new) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            // The first ADD has bound its claim, and what it creates is on its way.
            let creates = Gate("create")
            bench.proxy.when(.create, .first(1), .hold(creates))
            let first = try bench.start("ADD", old, pool)
            try await creates.reached()
            try await bench.proxy.waitFor("the binding") { log in
                log.filter("patch", "ipclaims.ipam.berth.dev").contains { $0.fate.serverStatus == 200 }
            }
            let bindings = Gate("binding")
            bench.proxy.when(.bindClaim, .first(1), .hold(bindings))
            let second = try bench.start("ADD", new, pool)
            try await bindings.reached()
            try await bench.proxy.waitFor("the list") { log in
                log.lists.contains { $0.fate.serverStatus == 200 }
            }
            creates.open()
            let added = try await first.outcome().checked()
            bindings.open()
            let waiting = await second.outcome()
            #expect(waiting.code == PluginCode.tryAgainLater, "\(waiting)")
            #expect("\(waiting)".contains(old.containerID), "\(waiting)")
            #expect(try await bench.allocations(pool).count == 1)
            try await identity.del(old, pool)
            #expect(try await identity.add(new, pool).checked().addresses == added.addresses)
        }
    }

    @Test func `who is overtaken at the claim that it made itself gives back what it created`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let pod = try await identity.pod()
            let (one, two) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            let gate = Gate()
            bench.proxy.when(.bindClaim, .first(1), .hold(gate))
            let call = try bench.start("ADD", one, v4, v6)
            try await gate.reached()
            try await bench.proxy.waitFor("the creates") { log in
                log.filter("create", "ipallocations.ipam.berth.dev").count { $0.fate.serverStatus == 201 } == 2
            }
            // It finds the claim without a holder, and what the other one created.
            let waiting = try await identity.add(two, v4, v6)
            #expect(waiting.code == PluginCode.tryAgainLater, "\(waiting)")
            gate.open()
            let overtaken = await call.outcome()
            #expect(overtaken.code == PluginCode.tryAgainLater, "\(overtaken)")
            #expect("\(overtaken)".contains("as soon as it was made"), "\(overtaken)")
            #expect(try await bench.allocations(v4).isEmpty)
            #expect(try await bench.allocations(v6).isEmpty)
            let added = try await identity.add(two, v4, v6).checked()
            try await identity.audit([two: added], v4, v6)
        }
    }

    @Test(arguments: [true, false])
    func `of two that take over at once none goes on with one family`(isFirstSettledFirst: Bool) async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let kept = try await identity.keep(isPublished: true, v4, v6)
            let pod = try await identity.pod()
            let (one, two) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            // The first one's take-overs, and then the second one's of the first family, are on their way.
            let (four, six, later) = (Gate("v4 of the first"), Gate("v6 of the first"), Gate("v4 of the second"))
            let (takeFour, takeSix) = (
                RequestMatcher.takeOver && .body(contains: v4.name), RequestMatcher.takeOver && .body(contains: v6.name)
            )
            bench.proxy.when(takeFour, .first(1), .hold(four))
            bench.proxy.when(takeSix, .first(1), .hold(six))
            let first = try bench.start("ADD", one, v4, v6)
            try await four.reached()
            try await six.reached()
            bench.proxy.when(takeFour, .first(1), .hold(later))
            bench.proxy.clearLog()
            let second = try bench.start("ADD", two, v4, v6)
            try await later.reached()
            try await bench.proxy.waitFor("v6 of the second") { log in
                log.contains { takeSix.matches($0.request) && $0.fate.serverStatus == 200 }
            }
            four.open()
            try await identity.waitUntil(v4) { $0.spec.attachment?.containerID == one.containerID }
            // Each has one family by now.
            let (loser, winner): (PluginOutcome, PluginOutcome)
            if isFirstSettledFirst {
                six.open()
                loser = await first.outcome()
                later.open()
                winner = await second.outcome()
            } else {
                later.open()
                loser = await second.outcome()
                six.open()
                winner = await first.outcome()
            }
            #expect(loser.code == PluginCode.tryAgainLater, "\(loser)")
            #expect("\(loser)".contains("is not released yet"), "\(loser)")
            #expect(winner.addresses == kept, "\(winner)")
            try await identity.audit([isFirstSettledFirst ? two : one: winner], v4, v6)
        }
    }

    /// Replaces a pod by another one of its name, which gets what is kept.
    private func succeed(
        _ identity: IdentityBench, _ pod: TestPod, _ kept: [String], of pool: ClaimPool
    ) async throws -> (TestSandbox, PluginOutcome) {
        try await identity.bench.controlPlane.delete(pod)
        let sandbox = try identity.sandbox(of: try await identity.pod())
        let added = try await identity.add(sandbox, pool).checked()
        #expect(added.addresses == kept)
        return (sandbox, added)
    }

    private func expectSuperseded(_ call: RunningPlugin) async {
        let failed = await call.outcome()
        #expect(failed.code == PluginCode.tryAgainLater, "\(failed)")
        #expect("\(failed)".contains("does not exist any more"), "\(failed)")
    }

    @Test func `an ADD that is slower than its pod's successor takes nothing from it`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let kept = try await identity.keep(isPublished: true, pool)
            let pod = try await identity.pod()
            let slow = try identity.sandbox(of: pod)
            bench.proxy.clearLog()
            let claimReads = Gate("claim")
            let read = bench.proxy.when(.verb("get", "ipclaims.ipam.berth.dev"), .first(1), .hold(claimReads))
            let call = try bench.start("ADD", slow, pool)
            try await claimReads.reached()
            try await bench.proxy.waitFor("the pod") { log in
                log.filter("get", "pods").contains { $0.fate.serverStatus == 200 }
            }
            read.remove()
            // It has read its pod, and reads its claim when the successor is the holder.
            let (sandbox, added) = try await succeed(identity, pod, kept, of: pool)
            claimReads.open()
            await expectSuperseded(call)
            #expect(try await bench.node.add(sandbox, bench.configuration([pool])).checked().addresses == kept)
            try await identity.audit([sandbox: added], pool)
        }
    }

    @Test func `an ADD whose pod is replaced while it binds takes nothing from the successor`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let kept = try await identity.keep(isPublished: true, pool)
            let pod = try await identity.pod()
            let slow = try identity.sandbox(of: pod)
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.bindClaim, .first(1), .hold(gate))
            let call = try bench.start("ADD", slow, pool)
            try await gate.reached()
            // It has seen its pod beside the binding.
            try await bench.proxy.waitFor("the pod") { log in
                log.filter("get", "pods").count { $0.fate.serverStatus == 200 } >= 2
            }
            let (sandbox, added) = try await succeed(identity, pod, kept, of: pool)
            gate.open()
            // Its binding is refused, and what it saw of its pod is older than the claim that it reads then.
            await expectSuperseded(call)
            try await identity.audit([sandbox: added], pool)
        }
    }

    // MARK: Killed

    typealias Step = FaultKillTests.Step

    static let makeClaim = RequestMatcher.verb("create", "ipclaims.ipam.berth.dev")
    static let firstSteps = [
        Step("before the reads", .method("GET"), isAfter: false),
        Step("before the claim is made", makeClaim, isAfter: false),
        Step("after the claim is made", makeClaim, isAfter: true),
        Step("before the binding, with the addresses created", .bindClaim, isAfter: false),
        Step("after the binding, with the addresses created", .bindClaim, isAfter: true),
        Step("before the creates, with the claim bound", .create, isAfter: false),
        Step("after the creates", .create, isAfter: true),
        Step("after the first family's create", .create && .body(contains: "-v4"), isAfter: true),
        Step("before the binding and the creates", .bindClaim || .create, isAfter: false),
        Step("after the binding and the creates", .bindClaim || .create, isAfter: true),
    ]

    @Test(arguments: firstSteps, [true, false])
    func `a first ADD that is killed leaves nothing, and the next one is served`(
        step: Step, isSamePod: Bool
    ) async throws {
        try await IdentityBench.run { identity in
            let (v4, v6) = (try await identity.bench.makePool(.v4), try await identity.bench.makePool(.v6))
            let pod = try await identity.pod()
            try await identity.addAndKill(try identity.sandbox(of: pod), at: step, v4, v6)
            #expect(try await identity.bench.allocations(v4).isEmpty)
            #expect(try await identity.bench.allocations(v6).isEmpty)
            var next = pod
            if !isSamePod {
                try await identity.bench.controlPlane.delete(pod)
                next = try await identity.pod()
            }
            let sandbox = try identity.sandbox(of: next)
            let added = try await identity.add(sandbox, v4, v6).checked()
            try await identity.audit([sandbox: added], v4, v6)
            #expect(try await identity.claims().count == 1)
        }
    }

    static let laterSteps = [
        Step("before the reads", .method("GET"), isAfter: false),
        Step("before the binding and the reads beside it", .bindClaim || .readAllocation, isAfter: false),
        Step("after the binding and the reads beside it", .bindClaim || .readAllocation, isAfter: true),
        Step("before the binding, with what is kept read", .bindClaim, isAfter: false),
        Step("before what is kept is read, with the claim bound", .readAllocation, isAfter: false),
        Step("before the take-overs", .takeOver, isAfter: false),
        Step("after the take-overs", .takeOver, isAfter: true),
        Step("after the second family's take-over", .takeOver && .body(contains: "-v6"), isAfter: true),
    ]

    @Test(arguments: laterSteps, [true, false])
    func `a later ADD that is killed keeps both families for the claim`(step: Step, isSamePod: Bool) async throws {
        try await IdentityBench.run { identity in
            let (v4, v6) = (try await identity.bench.makePool(.v4), try await identity.bench.makePool(.v6))
            let kept = try await identity.keep(isPublished: true, v4, v6)
            let pod = try await identity.pod()
            try await identity.addAndKill(try identity.sandbox(of: pod), at: step, v4, v6)
            for pool in [v4, v6] {
                #expect(try await identity.bench.allocations(pool).map(\.spec.state) == [.held])
            }
            var next = pod
            if !isSamePod {
                try await identity.bench.controlPlane.delete(pod)
                next = try await identity.pod()
            }
            let sandbox = try identity.sandbox(of: next)
            let added = try await identity.add(sandbox, v4, v6).checked()
            #expect(added.addresses == kept)
            try await identity.audit([sandbox: added], v4, v6)
        }
    }
}

extension IdentityBench {
    /// Kills an ADD when a step holds its requests, lets these be carried out, and sends its DELs.
    func addAndKill(_ sandbox: TestSandbox, at step: FaultKillTests.Step, _ pools: ClaimPool...) async throws {
        let gate = Gate()
        let rule = bench.proxy.when(step.matcher, .always, step.action(gate))
        let call = try bench.node.runner.start(bench.node.call("ADD", sandbox, bench.configuration(pools)))
        try await gate.reached()
        call.kill()
        _ = await call.outcome()
        rule.remove()
        let waiting = gate.arrivals
        gate.open()
        try await bench.proxy.waitFor("what was held") { log in
            log.count { step.matcher.matches($0.request) && $0.fate.serverStatus != nil } >= waiting
        }
        try await bench.delUntilDone(sandbox, pools)
    }

    /// What the sandboxes were given is theirs in the ledger, all of it, and nothing else is anybody's.
    func audit(_ given: [TestSandbox: PluginOutcome], _ pools: ClaimPool...) async throws {
        for pool in pools {
            let allocations = try await bench.allocations(pool)
            let own = Set(allocations.map(\.spec.address))
            var believed: [IPAMAPI.Attachment: Set<IPAddress>] = [:]
            for (sandbox, outcome) in given {
                believed[sandbox.attachment()] = Set(try outcome.parsedAddresses().filter { pool.covers($0) })
            }
            let audit = LedgerAudit(allocations, believed: believed)
            #expect(audit.isClean, "\(audit)")
            #expect(audit.agreed == given.count && own.count == given.count, "\(audit)")
        }
    }

    /// Waits until an allocation of the pool is as a test wants it.
    func waitUntil(_ pool: ClaimPool, _ isSo: (IPAllocation) -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            if try await bench.allocations(pool).contains(where: isSo) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw TestSetUpError("no allocation of \(pool.name) came to be so")
    }
}

extension ClaimPool {
    fileprivate func covers(_ address: IPAddress) -> Bool { addresses.contains("\(address)") }
}
