import IPAMLedger
import Synchronization
import Testing

@testable import Berth

@Suite struct PluginLogTests {
    private func line(_ metadata: [(String, String)], trace: String? = nil) -> String {
        let log = PluginLog(level: .info, file: nil, traceID: trace)
        let line = log.line(.warning, "release is not settled", metadata)
        // The time has tests of its own.
        return String(line.drop { $0 != " " }.dropFirst())
    }

    @Test func `a line has the time, the level, the message and what it is about`() {
        let log = PluginLog(level: .info, file: nil, traceID: nil)
        let line = log.line(.info, "ADD", [("attachment", "c1")])
        #expect(
            line.wholeMatch(of: /time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info msg=ADD attachment=c1\n/) != nil
        )
    }

    @Test(
        arguments: [
            ("plain-1.2:3/4", "plain-1.2:3/4"), ("two words", "\"two words\""), ("a=b", "\"a=b\""),
            ("say \"no\"", #""say \"no\"""#), (#"back\slash here"#, #""back\\slash here""#),
            ("line\nfeed", #""line\nfeed""#), ("é", "\"é\""),
            // What a terminal would obey: C0, DEL, C1.
            ("\u{1B}[31mred", "\"?[31mred\""), ("\r", "\"?\""), ("\u{7F}", "\"?\""), ("\u{9B}31m", "\"?31m\""),
        ])
    func `a value cannot pass for something else`(value: String, written: String) {
        #expect(line([("key", value)]) == "level=warning msg=\"release is not settled\" key=\(written)\n")
    }

    @Test func `what is empty is left out, and a trace ends the line`() {
        #expect(
            line([("a", ""), ("b", "1")], trace: "4bf92f35")
                == "level=warning msg=\"release is not settled\" b=1 trace=4bf92f35\n")
    }

    @Test func `lines are appended to the file, whose folder is made`() throws {
        try withFolder { folder in
            let log = PluginLog(level: .info, file: "\(folder)/berth.log", traceID: nil)
            log.append("one\n", to: "\(folder)/berth.log")
            log.append("two\n", to: "\(folder)/berth.log")
            let content = try read("\(folder)/berth.log")
            #expect(content == "one\ntwo\n")
            // A file that cannot be written is no reason to fail.
            log.append("three\n", to: "\(folder)/berth.log/below")
        }
    }

    @Test func `a log file that cannot be opened is told of once, on standard error`() throws {
        let written = Mutex("")
        var log = PluginLog(level: .info, file: "/dev/null/berth.log", traceID: nil)
        log.writeStandardError = { bytes in written.withLock { $0 += String(decoding: bytes, as: UTF8.self) } }
        for _ in 0..<3 { log.write(.info, "ADD", []) }
        let lines = written.withLock(\.self).split(separator: "\n")
        #expect(lines.count { $0.contains("msg=ADD") } == 3)
        let complaints = lines.filter { $0.contains("log file cannot be opened") }
        #expect(complaints.count == 1)
        #expect(complaints.first?.contains("level=warning") == true)
        #expect(complaints.first?.contains("file=/dev/null/berth.log error=\"Not a directory\"") == true)
    }
}
