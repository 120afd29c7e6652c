import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// How many round trips an ADD of a pod with a claim makes, and what is in each: every request of one is there before any
/// of it is answered.
@Suite("The request budget of claims", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityBudgetTests {
    private static let reads = ["get ippools", "get namespaces", "get pods"]
    private static let foreseeing = reads + ["get ipclaims"]

    @Test func `a first ADD makes the claim, and binds it beside the creation of its address`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let sandbox = try identity.sandbox(of: try await identity.pod())
            let added = try await identity.add(
                sandbox, [pool],
                inRounds: [Self.foreseeing, ["create ipclaims"], ["create ipallocations", "patch ipclaims"]])
            #expect(added.addresses.count == 1)
            let claim = try #require(try await identity.claims().first)
            #expect(claim.status.holder?.attachment == sandbox.attachment().digest)
        }
    }

    @Test func `a first ADD of two families makes not one round trip more`() async throws {
        try await IdentityBench.run { identity in
            let (v4, v6) = (try await identity.bench.makePool(.v4), try await identity.bench.makePool(.v6))
            let added = try await identity.add(
                try identity.sandbox(of: try await identity.pod()), [v4, v6],
                inRounds: [
                    Self.foreseeing + ["get ippools"], ["create ipclaims"],
                    ["create ipallocations", "create ipallocations", "patch ipclaims"],
                ])
            #expect(added.addresses.count == 2)
        }
    }

    @Test(arguments: [true, false])
    func `a pod that was made anew binds the claim, and reads beside that what is kept`(isPublished: Bool) async throws
    {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let kept = try await identity.keep(isPublished: isPublished, pool)
            let next = try await identity.pod()
            let again = try await identity.add(
                try identity.sandbox(of: next), [pool],
                inRounds: [
                    Self.foreseeing,
                    [isPublished ? "get ipallocations" : "list ipallocations", "get pods", "patch ipclaims"],
                    ["update ipallocations"],
                ])
            #expect(again.addresses == kept)
        }
    }

    @Test(arguments: [true, false])
    func `the same for two families`(isPublished: Bool) async throws {
        try await IdentityBench.run { identity in
            let (v4, v6) = (try await identity.bench.makePool(.v4), try await identity.bench.makePool(.v6))
            let kept = try await identity.keep(isPublished: isPublished, v4, v6)
            let next = try await identity.pod()
            let again = try await identity.add(
                try identity.sandbox(of: next), [v4, v6],
                inRounds: [
                    Self.foreseeing + ["get ippools"],
                    ["get pods", "patch ipclaims"]
                        + (isPublished ? ["get ipallocations", "get ipallocations"] : ["list ipallocations"]),
                    ["update ipallocations", "update ipallocations"],
                ])
            #expect(again.addresses == kept)
        }
    }

    @Test func `a sandbox that is made anew needs no other read of its pod`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            try await identity.del(sandbox, pool)
            let again = try await identity.add(
                try identity.sandbox(of: pod), [pool],
                inRounds: [Self.foreseeing, ["list ipallocations", "patch ipclaims"], ["update ipallocations"]])
            #expect(again.addresses == added.addresses)
        }
    }

    @Test func `a claim that is named costs a round trip more, for it is known when the pod was read`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.makeClaim("vip")
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let sandbox = try identity.sandbox(of: pod)
            // It never had a holder, so that nothing can be kept for it.
            let added = try await identity.add(
                sandbox, [pool],
                inRounds: [Self.reads, ["get ipclaims"], ["patch ipclaims"], ["create ipallocations"]])
            try await identity.del(sandbox, pool)
            let again = try await identity.add(
                try identity.sandbox(of: pod), [pool],
                inRounds: [
                    Self.reads, ["get ipclaims"], ["list ipallocations", "patch ipclaims"], ["update ipallocations"],
                ])
            #expect(again.addresses == added.addresses)
        }
    }

    @Test func `a pod of another name is proved to be gone before its claim is bound`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let former = try await identity.pod("a", isOwned: false, annotations: naming)
            let sandbox = try identity.sandbox(of: former)
            let added = try await identity.add(sandbox, pool).checked()
            try await identity.del(sandbox, pool)
            try await identity.publish(added.addresses, of: try #require(try await identity.claims().first))
            try await identity.bench.controlPlane.delete(former)
            let pod = try await identity.pod("b", isOwned: false, annotations: naming)
            let again = try await identity.add(
                try identity.sandbox(of: pod), [pool],
                inRounds: [
                    Self.reads, ["get ipclaims"], ["get pods"], ["get ipallocations", "patch ipclaims"],
                    ["update ipallocations"],
                ])
            #expect(again.addresses == added.addresses)
        }
    }

    @Test func `an address that a claim asks for is looked at beside the binding`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.makeClaim("vip", ["addresses": [.string(pool.addresses[7])]])
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let added = try await identity.add(
                try identity.sandbox(of: pod), [pool],
                inRounds: [
                    Self.reads, ["get ipclaims"], ["get ipallocations", "patch ipclaims"], ["create ipallocations"],
                ])
            #expect(added.addresses == [pool.addresses[7]])
        }
    }

    @Test func `where nothing is kept for a claim that had a holder, a list after the binding says so`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (rackA, rackB) = (try await bench.makePool(), try await bench.makePool())
            let kept = try await identity.keep(isPublished: true, rackA)
            let next = try await identity.pod()
            let moved = try await identity.add(
                try identity.sandbox(of: next), [rackB],
                inRounds: [
                    Self.foreseeing, ["get pods", "patch ipclaims"], ["list ipallocations"], ["create ipallocations"],
                ])
            #expect(moved.addresses != kept)
        }
    }

    @Test func `a repeated ADD reads what the attachment has, and neither binds nor takes anything`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let sandbox = try identity.sandbox(of: try await identity.pod())
            let added = try await identity.add(sandbox, pool).checked()
            let again = try await identity.add(
                sandbox, [pool], inRounds: [Self.foreseeing + ["get ipallocations"]])
            #expect(again.addresses == added.addresses)
        }
    }

    @Test(arguments: [true, false])
    func `a server that does not know claims is asked once, for a pod of a StatefulSet or another`(
        isOwned: Bool
    ) async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            identity.bench.proxy.when(
                .verb("get", "ipclaims.ipam.berth.dev"), .always,
                .respond(
                    status: 404, headers: [("content-type", "text/plain; charset=utf-8")],
                    body: Array("404 page not found\n".utf8)))
            let pod = try await identity.pod(isOwned: isOwned)
            try await identity.add(try identity.sandbox(of: pod), pool).checked()
            let verbs = identity.bench.proxy.log.verbs
            #expect(verbs.sorted() == (Self.foreseeing + ["create ipallocations"]).sorted())
        }
    }
}
