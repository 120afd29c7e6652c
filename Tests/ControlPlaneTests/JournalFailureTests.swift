import Glibc
import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// A journal that cannot be read or written, and a server that is away while it is to be rebuilt.
@Suite("Journals that fail", .controlPlane, .timeLimit(.minutes(10)))
struct JournalFailureTests {
    @Test func `an ADD without a writable journal creates nothing`() async throws {
        try await ClaimBench.run(isWhole: false) { bench in
            let pool = try await bench.makePool()
            // A folder cannot be made in a file, whoever asks.
            try Files.write(bench.node.journal, "no folder")
            let outcome = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(outcome.code == PluginCode.inputOutput)
            #expect(outcome.failure?.message.contains(bench.node.journal) == true)
            #expect(outcome.failure?.details.contains("journalDir") == true)
            #expect(bench.proxy.log.isEmpty)
        }
    }

    @Test(arguments: ["entries", "tombstones", "releasing"])
    func `an ADD whose entry cannot be written creates nothing, or gives it back`(folder: String) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try bench.spoil(folder)
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, v4, v6)
            if folder == "entries" {
                #expect(outcome.code == PluginCode.inputOutput)
                #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
            }
            if outcome.succeeded {
                try bench.mend(folder)
                try await bench.del(sandbox, v4, v6)
            }
            #expect(try await bench.areFree(v4, v6))
        }
    }

    @Test func `where the size of files is limited an ADD says what it could not write, and a DEL succeeds`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await Files.withTemporaryFolder("limited") { folder in
                let executable = "\(folder)/berth"
                try Files.write(executable, "#!/bin/sh\nulimit -f 0\nexec \(bench.node.runner.executable)\n")
                try await runChecked("chmod", ["755", executable])
                let limited = PluginRunner(executable: executable)
                let node = bench.node
                let refused = try await limited.run(
                    node.call("ADD", try node.newSandbox(), bench.configuration([pool])))
                #expect(refused.code == PluginCode.inputOutput, "\(refused)")
                #expect(refused.failure?.message.contains("File too large") == true, "\(refused)")
                #expect(try await bench.allocations(pool).count == 1)
                _ = try await limited.run(
                    node.call("DEL", sandbox, bench.configuration([pool]))
                ).checked()
                #expect(try await bench.holders(pool)[added.addresses[0]] == nil)
            }
        }
    }

    @Test func `an ADD that can no longer write what it holds gives it back`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .always, .holdAnswer(gate))
            let call = try bench.start("ADD", sandbox, v4, v6)
            try await gate.reached(2)
            try bench.spoil("entries")
            gate.open()
            #expect(await call.outcome().code == PluginCode.inputOutput)
            #expect(try await bench.allocations(v4).isEmpty)
            #expect(try await bench.allocations(v6).isEmpty)
        }
    }

    /// The release needs no room on the disk, so it is made; what then cannot be forgotten is found to be done.
    @Test(arguments: ["locks", "tombstones", "releasing", "generation"])
    func `a DEL frees the address while the journal cannot be written`(part: String) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try bench.spoil(part)
            try await bench.node.del(sandbox, bench.configuration([pool]), previous: added).checked()
            #expect(try await bench.areFree(pool))
        }
    }

    @Test func `a DEL fails when it can neither release nor write that down`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try bench.spoil("releasing")
            await bench.proxy.suspend()
            let outcome = try await bench.node.del(sandbox, bench.configuration([pool]), previous: added)
            #expect(!outcome.succeeded)
            try await bench.proxy.resume()
            try bench.mend("releasing")
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.areFree(pool))
        }
    }

    // MARK: Neither a journal nor a server

    @Test func `a DEL with neither succeeds, and is carried out when both are back`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            try Files.removeTree(bench.node.journal)
            await bench.proxy.suspend()
            try await bench.del(sandbox, v4, v6, previous: added)
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            try await bench.node.delAgain(sandbox, bench.configuration([v4, v6])).checked()
            try await bench.proxy.resume()
            #expect(try await bench.holders(v4).count == 1)
            let attempts = try await bench.carryOut { bench.node.pendingReleases.isEmpty }
            #expect(attempts != nil)
            #expect(try await bench.areFree(v4, v6))
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    @Test func `an ADD with neither fails and leaves the journal to be rebuilt`() async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 4], isWhole: false) { bench in
            let pool = try await bench.makePool()
            await bench.proxy.suspend()
            let sandbox = try bench.node.newSandbox()
            #expect(try await bench.add(sandbox, pool).code == PluginCode.tryAgainLater)
            #expect(!Files.exists("\(bench.node.journal)/generation"))
            #expect(bench.node.journalEntries.isEmpty)
            try await bench.proxy.resume()
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `a rebuilding that fails is not taken for a journal that is whole`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            for fault in [FaultAction.internalError, .html(status: 200), .forbidden, .dropAnswer(), .notFound] {
                try Files.removeTree(bench.node.journal)
                let rule = bench.proxy.when(.listAllocations, .always, fault)
                try await bench.del(try bench.node.newSandbox(), pool)
                #expect(rule.hits > 0)
                #expect(!Files.exists("\(bench.node.journal)/generation"))
                rule.remove()
            }
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.areFree(pool))
        }
    }

    @Test func `an attachment that was released and marked, and is added again, is not released behind its back`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            await bench.proxy.suspend()
            try await bench.del(sandbox, pool)
            try await bench.proxy.resume()
            let again = try await bench.add(sandbox, pool).checked()
            #expect(try await bench.carryOut(attempts: 3) { false } == nil)
            #expect(try await bench.holders(pool) == [again.addresses[0]: sandbox.attachment()])
        }
    }
}

extension ClaimBench {
    /// Puts a file where the journal has a folder, or a folder where it has a file: nothing can be written there then,
    /// whoever tries.
    fileprivate func spoil(_ part: String) throws {
        let path = "\(node.journal)/\(part)"
        let isFolder = Files.isFolder(path)
        guard rename(path, "\(path).kept") == 0 else { throw TestSetUpError("\(path) cannot be moved") }
        if isFolder { try Files.write(path, "no folder") } else { try Files.makeFolder(path) }
    }

    fileprivate func mend(_ part: String) throws {
        let path = "\(node.journal)/\(part)"
        try Files.removeTree(path)
        guard rename("\(path).kept", path) == 0 else { throw TestSetUpError("\(path) cannot be moved back") }
    }
}
