import IPAMAPI
import IPAMLedger
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// A journal that was damaged, lost, or written for another: it costs requests, never an address.
@Suite("Damaged journals", .controlPlane, .timeLimit(.minutes(10)))
struct JournalDamageTests {
    enum Damage: String, CaseIterable, Sendable {
        case empty, firstByte, half, allButTheLastByte, oneByteFlipped, zeros, otherJSON, entryOfAnother

        func content(of entry: [UInt8], other: [UInt8]) -> [UInt8] {
            switch self {
            case .empty: return []
            case .firstByte: return Array(entry.prefix(1))
            case .half: return Array(entry.prefix(entry.count / 2))
            case .allButTheLastByte: return Array(entry.dropLast())
            case .oneByteFlipped:
                var bytes = entry
                bytes[entry.count / 3] ^= 1
                return bytes
            case .zeros: return [UInt8](repeating: 0, count: entry.count)
            case .otherJSON: return Array(#"{"format":1,"records":[]}"#.utf8)
            case .entryOfAnother: return other
            }
        }
    }

    @Test(arguments: Damage.allCases)
    func `a DEL frees what a damaged entry no longer names`(damage: Damage) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (sandbox, neighbour) = (try bench.node.newSandbox(), try bench.node.newSandbox())
            let added = try await bench.add(sandbox, v4, v6).checked()
            let kept = try await bench.add(neighbour, v4, v6).checked()
            try bench.damage(sandbox, damage, other: neighbour)
            try await bench.del(sandbox, v4, v6, previous: added)
            #expect(try await bench.holders(v4) == [kept.addresses[0]: neighbour.attachment()])
            #expect(try await bench.holders(v6) == [kept.addresses[1]: neighbour.attachment()])
            try await bench.del(neighbour, v4, v6, previous: kept)
            #expect(try await bench.areFree(v4, v6))
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    @Test(arguments: Damage.allCases)
    func `an ADD on a damaged entry gets one address, at the second attempt at the latest`(
        damage: Damage
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let (sandbox, neighbour) = (try bench.node.newSandbox(), try bench.node.newSandbox())
            try await bench.add(sandbox, pool).checked()
            let kept = try await bench.add(neighbour, pool).checked()
            try bench.damage(sandbox, damage, other: neighbour)
            var outcome = try await bench.add(sandbox, pool)
            if !outcome.succeeded {
                #expect(outcome.code == PluginCode.inputOutput)
                outcome = try await bench.add(sandbox, pool)
            }
            let address = try #require(outcome.checked().addresses.first)
            #expect(
                try await bench.holders(pool)
                    == [address: sandbox.attachment(), kept.addresses[0]: neighbour.attachment()])
        }
    }

    @Test func `a DEL on a damaged entry succeeds without the server, and a later one of the node frees`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            try bench.damage(sandbox, .half, other: sandbox)
            await bench.proxy.suspend()
            try await bench.del(sandbox, pool)
            try await bench.proxy.resume()
            #expect(try await bench.holders(pool).count == 1)
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    @Test(arguments: [true, false])
    func `a journal wiped in whole is rebuilt by one list`(byADD: Bool) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            try Files.removeTree(bench.node.journal)
            bench.proxy.clearLog()
            if byADD {
                let again = try await bench.add(sandbox, v4, v6).checked()
                #expect(again.result == added.result)
                #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
            }
            try await bench.del(sandbox, v4, v6, previous: added)
            #expect(try await bench.areFree(v4, v6))
            #expect(bench.proxy.log.lists.count == 1)
            // What a rebuilt entry names may have been in use: it cools.
            #expect(try await bench.allocations(v4).map(\.spec.state) == [.cooling])
        }
    }

    @Test func `many calls after the loss make one list`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 40)
            let sandboxes = try (0..<6).map { _ in try bench.node.newSandbox() }
            for sandbox in sandboxes { try await bench.add(sandbox, pool).checked() }
            try Files.remove("\(bench.node.journal)/generation")
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.listAllocations, .always, .hold(gate))
            let calls = try sandboxes.map { try bench.start("DEL", $0, pool) }
            try await gate.reached()
            gate.open()
            for call in calls { try await call.outcome().checked() }
            for sandbox in sandboxes { try await bench.delUntilDone(sandbox, pool) }
            #expect(try await bench.areFree(pool))
            #expect(bench.proxy.log.lists.count == 1)
        }
    }

    @Test(arguments: ["", "{", "{}", "null", #"{"format":1,"bootID":"an earlier one","node":"n","machineID":"m"}"#])
    func `a generation file that is damaged or of another boot costs one list`(content: String) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            try Files.write("\(bench.node.journal)/generation", content)
            bench.proxy.clearLog()
            try await bench.del(sandbox, pool)
            #expect(try await bench.areFree(pool))
            #expect(bench.proxy.log.lists.count == 1)
            try await bench.node.delAgain(sandbox, bench.configuration([pool])).checked()
            #expect(bench.proxy.log.lists.count == 1)
        }
    }

    @Test func `entries that a crash left without an allocation go when the node has booted anew`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let (gone, kept) = (try bench.node.newSandbox(), try bench.node.newSandbox())
            let address = try #require(try await bench.add(gone, pool).checked().addresses.first)
            let other = try await bench.add(kept, pool).checked()
            try await bench.deleteAllocation(address)
            for sandbox in [gone, kept] { try bench.reboot(sandbox) }
            try Files.remove("\(bench.node.journal)/generation")
            try await bench.makeWhole(bench.node)
            #expect(bench.node.journalEntries == [kept.attachment().digest])
            bench.proxy.clearLog()
            try await bench.del(gone, pool)
            #expect(bench.proxy.log.isEmpty)
            try await bench.del(kept, pool, previous: other)
            #expect(try await bench.areFree(pool))
        }
    }

    /// A server before Kubernetes 1.31 may need longer for a consistent list of a large ledger than an ADD may last.
    @Test func `a consistent list that takes too long is made from the server's cache`() async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 15]) { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try Files.removeTree(bench.node.journal)
            bench.proxy.clearLog()
            let isCached = RequestMatcher.query("resourceVersion", "0")
            bench.proxy.when(.listAllocations && !isCached, .always, .hang)
            #expect(try await bench.add(sandbox, pool).checked().result == added.result)
            #expect(bench.proxy.log.lists.contains { isCached.matches($0.request) })
            #expect(bench.node.log.contains("reading the server's cache"))
            bench.proxy.removeRules()
            bench.proxy.clearLog()
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.areFree(pool))
            #expect(bench.proxy.log.lists.isEmpty)
        }
    }

    /// Some runtimes use a container ID again, and a static configuration always has the same one.
    @Test func `an old tombstone takes nothing from a rebuilt entry`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let first = try await bench.add(sandbox, pool).checked()
            try await bench.del(sandbox, pool, previous: first)
            let second = try await bench.add(sandbox, pool).checked()
            try Files.remove(bench.node.entryPath(sandbox))
            try Files.remove("\(bench.node.journal)/generation")
            for _ in 0..<2 { #expect(try await bench.add(sandbox, pool).checked().result == second.result) }
            #expect(try await bench.holders(pool) == [second.addresses[0]: sandbox.attachment()])
        }
    }

    @Test func `a release that is still to be made is not forgotten in a rebuild`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            await bench.proxy.suspend()
            try await bench.del(sandbox, pool, previous: added)
            try await bench.proxy.resume()
            try Files.remove(bench.node.entryPath(sandbox))
            try Files.remove("\(bench.node.journal)/generation")
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    @Test func `an address that was entered by hand is nobody's to release, after a rebuild too`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.edit(added.addresses[0], ["spec": ["origin": "Manual"]])
            try Files.removeTree(bench.node.journal)
            try await bench.node.gc(bench.configuration([pool]), valid: []).checked()
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
        }
    }

    @Test func `nor by its label, when its entry is torn`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.edit(added.addresses[0], ["spec": ["origin": "Manual"]])
            try Files.write(bench.node.entryPath(sandbox), "torn")
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
            #expect(bench.node.log.contains("torn"))
        }
    }

    /// As when a machine was cloned, or its disk put into another: that one has booted since.
    @Test func `the journal of another node frees nothing of that node`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandboxes = try (0..<3).map { _ in try bench.node.newSandbox() }
            for sandbox in sandboxes { try await bench.add(sandbox, pool).checked() }
            let held = try await bench.holders(pool)
            for sandbox in sandboxes { try bench.reboot(sandbox) }
            try await bench.withNode { other in
                try Files.removeTree(other.journal)
                try await runChecked("cp", ["-a", bench.node.journal, other.journal])
                let configuration = bench.configuration([pool], on: other)
                try await other.del(sandboxes[0], configuration).checked()
                try await other.gc(configuration, valid: []).checked()
                #expect(try await bench.holders(pool) == held)
            }
        }
    }
}

extension ClaimBench {
    fileprivate func damage(_ sandbox: TestSandbox, _ damage: JournalDamageTests.Damage, other: TestSandbox) throws {
        let entry = try Files.read(node.entryPath(sandbox))
        let content = damage.content(of: entry, other: try Files.read(node.entryPath(other)))
        try Files.write(node.entryPath(sandbox), String(decoding: content, as: UTF8.self))
    }

    /// Lets an entry look as if it was written before the last boot.
    fileprivate func reboot(_ sandbox: TestSandbox) throws {
        let journal = Journal(
            folder: node.journal, bootID: "an earlier one", node: node.name, machineID: node.machineID,
            now: { Moment.now() })
        var entry = try JournalEntry(JSON(parsing: Files.read(node.entryPath(sandbox))))
        entry.bootID = journal.bootID
        try journal.write(entry)
    }
}
