import BerthLogging
import Logging
import Synchronization
import Testing

@Suite struct BerthLogHandlerTests {
    final class Lines: Sendable {
        private let lines = Mutex<[String]>([])

        func append(_ bytes: [UInt8]) { lines.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) } }

        var all: [String] { lines.withLock(\.self) }
    }

    let lines = Lines()

    func logger(_ level: Logger.Level = .info) -> Logger {
        Logger(label: "controller") { [lines] label in
            BerthLogHandler(label: label, level: level, clock: { 0 }, write: { lines.append($0) })
        }
    }

    static let prefix = "time=1970-01-01T00:00:00.000Z level="

    @Test func `Metadata comes behind the message, by its keys, the nearest counts`() {
        var logger = logger()
        logger[metadataKey: "pool"] = "blue"
        logger[metadataKey: "node"] = "n1"
        logger.warning("pool exhausted", metadata: ["pool": "red", "count": "3"])
        #expect(
            lines.all == [Self.prefix + "warning msg=\"pool exhausted\" logger=controller count=3 node=n1 pool=red\n"])
    }

    @Test func `What a provider says counts least`() {
        var handler = BerthLogHandler(label: "c", clock: { 0 }, write: { [lines] in lines.append($0) })
        handler.metadataProvider = Logger.MetadataProvider { ["a": "provided", "b": "provided"] }
        handler[metadataKey: "b"] = "own"
        #expect(handler[metadataKey: "b"] == "own")
        Logger(label: "c") { _ in handler }.info("m")
        #expect(lines.all == [Self.prefix + "info msg=m logger=c a=provided b=own\n"])
    }

    @Test func `Lines below the level are not written`() {
        let logger = logger(.notice)
        logger.info("no")
        logger.notice("yes")
        #expect(lines.all == [Self.prefix + "notice msg=yes logger=controller\n"])
    }
}
