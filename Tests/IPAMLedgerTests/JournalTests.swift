import Glibc
import IPAMAPI
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct JournalTests {
    private func withJournal<Value>(_ body: (Journal, TestClock) throws -> Value) throws -> Value {
        try withFolder { folder in
            let clock = TestClock(moment(1000))
            let journal = journal(folder, clock)
            try journal.prepare()
            return try body(journal, clock)
        }
    }

    private func journal(
        _ folder: String, _ clock: TestClock, boot: String = "boot-1", node: String = "n1", machine: String = "m1"
    ) -> Journal {
        Journal(folder: folder, bootID: boot, node: node, machineID: machine, now: { clock.now })
    }

    private func entry(_ bootID: String = "boot-1") throws -> JournalEntry {
        JournalEntry(
            attachment: attachment, phase: .bound, since: moment(900), bootID: bootID,
            records: [try record("10.0.0.5", version: "7", until: moment(1050))])
    }

    /// Makes a file look as old as that.
    private func age(_ path: String, seconds: Int) {
        var times = [
            timespec(tv_sec: time(nil) - seconds, tv_nsec: 0), timespec(tv_sec: time(nil) - seconds, tv_nsec: 0),
        ]
        utimensat(AT_FDCWD, path, &times, 0)
    }

    // MARK: Wholeness

    @Test func `a journal is whole once that was declared, for its own node, machine and boot`() throws {
        try withJournal { journal, clock in
            #expect(try !journal.isWhole())
            try journal.markWhole()
            #expect(try journal.isWhole())
            #expect(try !self.journal(journal.folder, clock, boot: "boot-2").isWhole())
            #expect(try !self.journal(journal.folder, clock, node: "n2").isWhole())
            #expect(try !self.journal(journal.folder, clock, machine: "m2").isWhole())
            try journal.markTorn()
            #expect(try !journal.isWhole())
        }
    }

    @Test(arguments: ["", "{", "[]", "null"])
    func `a generation that cannot be read is none`(content: String) throws {
        try withJournal { journal, _ in
            try journal.markWhole()
            try JournalFiles.write(Array(content.utf8), to: "\(journal.folder)/generation", durably: false)
            #expect(try !journal.isWhole())
        }
    }

    @Test func `a folder that cannot be written to is found out before anything is claimed`() throws {
        try withFolder { folder in
            try JournalFiles.write([], to: "\(folder)/file", durably: false)
            #expect(throws: JournalError.self) {
                try journal("\(folder)/file/journal", TestClock(moment(0))).prepare()
            }
        }
    }

    @Test func `the probe leaves nothing behind`() throws {
        try withJournal { journal, _ in
            #expect(JournalFiles.names(in: journal.folder).sorted() == ["entries", "pools", "releasing", "tombstones"])
        }
    }

    // MARK: Entries

    @Test func `an entry is found under its attachment until it is removed`() throws {
        try withJournal { journal, _ in
            #expect(try journal.entry(for: attachment.digest).found == nil)
            try journal.write(try entry())
            #expect(try journal.entry(for: attachment.digest).found == entry())
            #expect(journal.digests() == [attachment.digest])
            for _ in 0..<2 { try journal.removeEntry(for: attachment.digest) }
            #expect(try journal.entry(for: attachment.digest).found == nil)
        }
    }

    @Test func `an entry under another's name is torn`() throws {
        try withJournal { journal, _ in
            let content = try entry().content
            try JournalFiles.write(
                content, to: "\(journal.folder)/entries/\(otherAttachment.digest)", durably: false)
            guard case .torn = try journal.entry(for: otherAttachment.digest) else {
                Issue.record("it counts as that of the other attachment")
                return
            }
        }
    }

    @Test func `an entry of an earlier boot awaits no commit`() throws {
        try withJournal { journal, _ in
            try journal.write(try entry("boot-0"))
            let found = try #require(try journal.entry(for: attachment.digest).found)
            #expect(found.records.map(\.mayCommitUntil) == [nil])
            #expect(found.since == Moment(nanoseconds: .min))
            #expect(found.isOfEarlierBoot(than: "boot-1"))
        }
    }

    // MARK: Tombstones

    @Test func `a tombstone tells a claim that began before it, in the same boot`() throws {
        try withJournal { journal, clock in
            #expect(try !journal.wasDeleted("a", since: moment(0)))
            try journal.bury("a")
            #expect(try journal.wasDeleted("a", since: moment(999)))
            #expect(try journal.wasDeleted("a", since: moment(1000)))
            #expect(try !journal.wasDeleted("a", since: moment(1001)))
            #expect(try !journal.wasDeleted("b", since: moment(0)))
            #expect(try !self.journal(journal.folder, clock, boot: "boot-2").wasDeleted("a", since: moment(0)))
        }
    }

    @Test func `an hour old, tombstones and what killed writers left are swept, and nothing else`() throws {
        try withJournal { journal, clock in
            try journal.bury("old")
            try self.journal(journal.folder, clock, boot: "boot-0").bury("earlier")
            clock.advance(by: .seconds(3700))
            // As young as the next one, though the wall clock was set forward.
            for digest in ["leapt", "young"] { try journal.bury(digest) }
            try journal.write(try entry())
            let leftovers = [
                "entries/a.1.2~", "tombstones/b.1.2~", "releasing/c.1.2~", "pools/d.1.2~", "generation.1.2~",
                "probe.1.2",
            ]
            let scans = ["pools/stale", "pools/used"]
            for name in leftovers + scans + ["entries/young.1.2~", "probe.3.4"] {
                try JournalFiles.write([], to: "\(journal.folder)/\(name)", durably: false)
            }
            let old = ["tombstones/old", "tombstones/earlier", "tombstones/leapt", "entries/\(attachment.digest)"]
            for name in leftovers + old + ["pools/used"] { age("\(journal.folder)/\(name)", seconds: 3700) }
            age("\(journal.folder)/pools/stale", seconds: 90_000)
            try journal.sweep()
            #expect(JournalFiles.names(in: "\(journal.folder)/tombstones").sorted() == ["leapt", "young"])
            #expect(journal.digests() == [attachment.digest])
            #expect(JournalFiles.names(in: "\(journal.folder)/pools") == ["used"])
            #expect(JournalFiles.unfinished(in: journal.folder) == [])
            #expect(JournalFiles.names(in: journal.folder).filter { $0.hasPrefix("probe.") } == ["probe.3.4"])
            #expect(JournalFiles.unfinished(in: "\(journal.folder)/entries") == ["young.1.2~"])
            for sub in ["tombstones", "releasing", "pools"] {
                #expect(JournalFiles.unfinished(in: "\(journal.folder)/\(sub)") == [])
            }
        }
    }

    @Test func `a sweep is made once in five minutes`() throws {
        try withJournal { journal, clock in
            try journal.sweep()
            try journal.bury("old")
            clock.advance(by: .seconds(3700))
            age("\(journal.folder)/tombstones/old", seconds: 3700)
            try journal.sweep()
            #expect(JournalFiles.names(in: "\(journal.folder)/tombstones") == ["old"])
            age("\(journal.folder)/swept", seconds: 301)
            try journal.sweep()
            #expect(JournalFiles.names(in: "\(journal.folder)/tombstones") == [])
        }
    }

    // MARK: Notes

    @Test func `releases that are still to be made are listed until they are made`() throws {
        try withJournal { journal, _ in
            for digest in ["a", "b", "a"] { try journal.markReleasing(digest) }
            #expect(journal.releasing().sorted() == ["a", "b"])
            for _ in 0..<2 { try journal.unmarkReleasing("a") }
            #expect(journal.releasing() == ["b"])
            #expect(journal.isReleasing("b") && !journal.isReleasing("a"))
        }
    }

    @Test func `a server that did not answer is remembered for half a minute from the first time`() throws {
        try withJournal { journal, clock in
            #expect(!journal.wasUnreachableRecently())
            journal.noteUnreachable(true)
            clock.advance(by: .seconds(20))
            journal.noteUnreachable(true)
            #expect(journal.wasUnreachableRecently())
            clock.advance(by: .seconds(10))
            #expect(!journal.wasUnreachableRecently())
            journal.noteUnreachable(true)
            #expect(!self.journal(journal.folder, clock, boot: "boot-2").wasUnreachableRecently())
            journal.noteUnreachable(false)
            #expect(!journal.wasUnreachableRecently())
        }
    }

    @Test func `what a list told is forgotten with the boot`() throws {
        try withJournal { journal, clock in
            journal.writeScanRecord(["free": 3], pool: "uid-1")
            #expect(journal.scanRecord(pool: "uid-1")?["free"] == 3)
            #expect(journal.scanRecord(pool: "uid-2") == nil)
            #expect(self.journal(journal.folder, clock, boot: "boot-2").scanRecord(pool: "uid-1") == nil)
        }
    }
}

extension Journal.Lookup {
    fileprivate var found: JournalEntry? {
        if case .entry(let entry) = self { entry } else { nil }
    }
}
