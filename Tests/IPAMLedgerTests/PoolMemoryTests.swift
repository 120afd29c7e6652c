import JSONText
import Testing

@testable import IPAMLedger

@Suite struct PoolMemoryTests {
    private static func pool(_ index: Int, generation: Int = 1, subnet: String = "10.0.0.0/24") -> JSON {
        [
            "metadata": ["name": .string("p\(index)"), "uid": .string("u\(index)"), "generation": .int(generation)],
            "spec": ["subnet": .string(subnet), "ranges": ["10.0.0.1"], "default": true], "status": ["free": 1],
        ]
    }

    private static let pools = (0..<20).map { pool($0) }

    private static func table(
        _ rows: [(name: String, uid: String, generation: Int)],
        columns: [String] = ["Name", "Subnet", "Generation", "UID"]
    ) -> JSON {
        [
            "kind": "Table", "columnDefinitions": .array(columns.map { ["name": .string($0)] }),
            "rows": .array(
                rows.map {
                    [
                        "cells": [.string($0.name), "10.0.0.0/24", .int($0.generation), .string($0.uid)],
                        "object": .null,
                    ]
                }),
        ]
    }

    private static let rows = (0..<20).map { (name: "p\($0)", uid: "u\($0)", generation: 1) }

    private func memory() throws -> PoolMemory {
        let record = try #require(PoolMemory.record(of: Self.pools))
        return try #require(PoolMemory(try JSON(parsing: record.serialized())))
    }

    @Test func `a table of the same pools agrees, in any order`() throws {
        let memory = try memory()
        #expect(memory.outlines.count == 20)
        #expect(memory.agrees(with: Self.table(Self.rows)))
        #expect(memory.agrees(with: Self.table(Self.rows.reversed())))
    }

    @Test func `a pool that was made, deleted, made anew or edited does not agree`() throws {
        let memory = try memory()
        var edited = Self.rows
        edited[3].generation = 2
        var anew = Self.rows
        anew[3].uid = "other"
        var renamed = Self.rows
        renamed[3].name = "other"
        let more = Self.rows + [("more", "more", 1)]
        for rows in [edited, anew, renamed, more, Array(Self.rows.dropLast()), []] {
            #expect(!memory.agrees(with: Self.table(rows)))
        }
    }

    @Test func `a table without the columns tells nothing`() throws {
        let memory = try memory()
        for columns in [["Name", "Subnet", "Age", "UID"], ["Name", "Subnet", "Generation"], []] {
            let table = Self.table(Self.rows, columns: columns)
            #expect(!PoolMemory.isTelling(table))
            #expect(!memory.agrees(with: table))
        }
        #expect(!PoolMemory.isTelling(["kind": "IPPoolList", "items": []]))
        #expect(!memory.agrees(with: ["kind": "Status"]))
    }

    @Test func `few pools are not remembered, nor such as make no sense`() {
        #expect(PoolMemory.record(of: Array(Self.pools.prefix(PoolMemory.minimumCount - 1))) == nil)
        var pools = Self.pools
        pools[7]["spec"]?["nodes"] = ["[1"]
        #expect(PoolMemory.record(of: pools) == nil)
        #expect(PoolMemory([:]) == nil)
    }

    @Test func `a verification fails unless the server says that nothing changed`() throws {
        var verification = PoolVerification(try memory())
        let alone = verification.isAsking(accompanied: false)
        let accompanied = verification.isAsking(accompanied: true)
        #expect(!alone && accompanied)
        verification.receive(.success(Self.table(Self.rows)), wasSentTwice: false)
        let again = verification.isAsking(accompanied: true)
        #expect(!again && verification.failure == nil)

        for answer in [Self.table(Self.rows.dropLast()), Self.table(Self.rows, columns: ["Name"])] {
            var verification = PoolVerification(try memory())
            verification.receive(.success(answer), wasSentTwice: false)
            #expect(verification.failure.map { "\($0)" } == "\(LedgerError.poolsChanged)")
            #expect(verification.isUntelling == (answer["columnDefinitions"]?.array?.count == 1))
        }
    }

    @Test func `a verification that is not answered is asked again, and what was created waits for it`() throws {
        var verification = PoolVerification(try memory())
        let isAsking = verification.isAsking(accompanied: true)
        #expect(isAsking)
        verification.receive(try Answer.timeout.result(for: PoolMemory.verification), wasSentTwice: false)
        #expect(verification.failure == nil)
        guard case .wait(let until) = verification.next(now: moment(0), remaining: .seconds(9), isAccompanied: false)
        else {
            Issue.record("it does not pause")
            return
        }
        guard case .send = verification.next(now: until, remaining: .seconds(5), isAccompanied: false) else {
            Issue.record("it is not asked again")
            return
        }
        verification.receive(try Answer.forbidden.result(for: PoolMemory.verification), wasSentTwice: false)
        #expect(verification.failure != nil)
    }
}

extension PoolVerification {
    fileprivate mutating func isAsking(accompanied: Bool) -> Bool {
        if case .send = next(now: moment(0), remaining: .seconds(9), isAccompanied: accompanied) { true } else { false }
    }
}
