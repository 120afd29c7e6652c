import Glibc
import Testing

@testable import IPAMLedger

@Suite struct JournalFilesTests {
    @Test(arguments: [false, true])
    func `a file is replaced as a whole, and nothing else is left`(durably: Bool) throws {
        try withFolder { folder in
            for content in [Array("first, and longer".utf8), Array("second".utf8), []] {
                try JournalFiles.write(content, to: "\(folder)/a", durably: durably)
                #expect(try JournalFiles.read("\(folder)/a") == content)
            }
            #expect(JournalFiles.names(in: folder) == ["a"])
            #expect(JournalFiles.unfinished(in: folder) == [])
        }
    }

    @Test func `a file larger than one read comes whole`() throws {
        try withFolder { folder in
            let content = (0..<50_000).map { UInt8(truncatingIfNeeded: $0) }
            try JournalFiles.write(content, to: "\(folder)/a", durably: false)
            #expect(try JournalFiles.read("\(folder)/a") == content)
        }
    }

    @Test func `a missing file is no error, and one that cannot be read is`() throws {
        try withFolder { folder in
            #expect(try JournalFiles.read("\(folder)/none") == nil)
            let error = #expect(throws: JournalError.self) { try JournalFiles.read(folder) }
            #expect(error.map { "\($0)".contains(folder) } == true)
            try JournalFiles.remove("\(folder)/none")
        }
    }

    @Test func `a write that fails keeps the old content and names the file`() throws {
        try withFolder { folder in
            // A folder with something in it cannot be replaced by a file.
            try JournalFiles.makeFolder("\(folder)/a/b")
            let error = #expect(throws: JournalError.self) {
                try JournalFiles.write([1], to: "\(folder)/a", durably: false)
            }
            #expect(error.map { "\($0)".contains("\(folder)/a") } == true)
            #expect(JournalFiles.names(in: "\(folder)/a") == ["b"])
            #expect(JournalFiles.unfinished(in: folder) == [])
            #expect(throws: JournalError.self) {
                try JournalFiles.write([1], to: "\(folder)/none/a", durably: false)
            }
        }
    }

    @Test func `folders are made with those above them, once and for all`() throws {
        try withFolder { folder in
            for _ in 0..<2 { try JournalFiles.makeFolder("\(folder)/a/b/c") }
            #expect(JournalFiles.names(in: "\(folder)/a/b") == ["c"])
            var status = stat()
            #expect(stat("\(folder)/a/b/c", &status) == 0)
            #expect(status.st_mode & 0o777 == 0o700)
            try JournalFiles.write([], to: "\(folder)/file", durably: false)
            #expect(throws: JournalError.self) { try JournalFiles.makeFolder("\(folder)/file/below") }
        }
    }

    @Test func `names leave out what is being written, and a missing folder has none`() throws {
        try withFolder { folder in
            for name in ["b", "a", "a.1.2~", ".hidden"] {
                try JournalFiles.write([], to: "\(folder)/\(name)", durably: false)
            }
            #expect(JournalFiles.names(in: folder).sorted() == ["a", "b"])
            #expect(JournalFiles.unfinished(in: folder) == ["a.1.2~"])
            #expect(JournalFiles.names(in: "\(folder)/none") == [])
        }
    }

    /// Values of the reference implementation, draft-eastlake-fnv.
    @Test func `the checksum is FNV-1a`() {
        #expect(FNV1a.hash("".utf8) == 0xcbf2_9ce4_8422_2325)
        #expect(FNV1a.hash("a".utf8) == 0xaf63_dc4c_8601_ec8c)
        #expect(FNV1a.hash("foobar".utf8) == 0x8594_4171_f739_67e8)
    }
}
