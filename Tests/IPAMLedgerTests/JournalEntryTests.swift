import IPAMAPI
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct JournalEntryTests {
    /// One with every member.
    private static func full() throws -> JournalEntry {
        JournalEntry(
            attachment: attachment, phase: .bound, since: moment(12), bootID: "boot-1",
            pod: PodReference(namespace: "shop", name: "web-0", uid: "p1"),
            netns: SandboxNamespace(path: "/run/netns/a", inode: 4_026_532_281),
            records: [
                try record("10.0.0.5", version: "7"), try record("blue.10.0.0.6", cooldown: 0, until: moment(80)),
                try record("fd00-0000-0000-0000-0000-0000-0000-0001", version: "8", until: moment(81)),
            ], isIncomplete: true)
    }

    private static func bare() -> JournalEntry {
        JournalEntry(
            attachment: attachment, phase: .claiming, since: Moment(nanoseconds: .min), bootID: "", records: [])
    }

    @Test func `what is written is read again`() throws {
        for entry in [try Self.full(), Self.bare()] { #expect(try JournalEntry(content: entry.content) == entry) }
    }

    @Test func `an entry that ends early is torn`() throws {
        let content = try Self.full().content
        for length in content.indices {
            #expect(throws: (any Error).self, "\(length) bytes") {
                try JournalEntry(content: Array(content.prefix(length)))
            }
        }
    }

    @Test func `an entry with one bit changed is torn, or says the same`() throws {
        let entry = try Self.full()
        for index in entry.content.indices {
            for bit in 0..<8 {
                var content = entry.content
                content[index] ^= 1 << bit
                guard let read = try? JournalEntry(content: content) else { continue }
                #expect(read == entry, "bit \(bit) of byte \(index)")
            }
        }
    }

    @Test func `blocks that were never written are torn`() throws {
        let content = try Self.full().content
        for start in stride(from: 0, to: content.count, by: 64) {
            var damaged = content
            for index in start..<min(start + 64, content.count) { damaged[index] = 0 }
            #expect(throws: (any Error).self) { try JournalEntry(content: damaged) }
        }
    }

    /// The text of an entry with a member replaced, and the checksum that belongs to it.
    private func changed(_ change: (inout JSON) -> Void) throws -> JSON {
        var json = try Self.full().json
        change(&json)
        return json
    }

    @Test func `an entry of another format is not understood`() throws {
        #expect(throws: JSONDecodingError.self) { try JournalEntry(try changed { $0["format"] = 2 }) }
    }

    @Test(arguments: ["format", "phase", "attachment", "since", "bootID"])
    func `a member that must be there is missed by name`(name: String) throws {
        let error = #expect(throws: JSONDecodingError.self) { try JournalEntry(try changed { $0[name] = nil }) }
        #expect(error.map { "\($0)".contains(name) } == true)
    }

    @Test(arguments: ["name", "address", "pool", "poolUID", "cooldownSeconds", "resourceVersion"])
    func `a member of a record that must be there is missed by name`(name: String) throws {
        let error = #expect(throws: JSONDecodingError.self) {
            try JournalEntry(
                try changed { json in
                    var record = json["records"]?.array?.first ?? [:]
                    record[name] = nil
                    json["records"] = [record]
                })
        }
        #expect(error.map { "\($0)".contains(name) } == true)
    }

    @Test func `nothing of an earlier boot is under way`() throws {
        var entry = try Self.full()
        entry.outliveBoot()
        #expect(entry.since == Moment(nanoseconds: .min))
        #expect(entry.records.map(\.brief) == ["10.0.0.5 v7", "blue.10.0.0.6", Self.v6 + " v8"])
    }

    private static let v6 = "fd00-0000-0000-0000-0000-0000-0000-0001"

    // MARK: Records of one name

    @Test func `of two records of a name the one with a version stays, until the later limit`() throws {
        let (bare, early) = (try record("10.0.0.5", until: moment(9)), try record("10.0.0.5", until: moment(3)))
        let seen = try record("10.0.0.5", version: "7", until: moment(5))
        let other = try record("10.0.0.6")
        for order in [[bare, early, seen, other], [seen, other, early, bare], [early, other, bare, seen]] {
            let merged = order.merged
            #expect(merged.map(\.name).sorted() == ["10.0.0.5", "10.0.0.6"])
            let record = try #require(merged.first { $0.name == "10.0.0.5" })
            #expect(record.version == seen.version)
            #expect(record.mayCommitUntil == moment(9))
        }
    }

    @Test func `of two versions of a name the first stays`() throws {
        let merged = [try record("10.0.0.5", version: "7"), try record("10.0.0.5", version: "8")].merged
        #expect(merged.map(\.brief) == ["10.0.0.5 v7"])
    }
}
