import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct ReleaseTests {
    /// A release that is answered by hand until its answers are used up.
    private struct Driver {
        let clock: Clock
        var release: Release
        var requests: [APIRequest] = []

        init(_ record: JournalEntry.Record, _ mode: ReleaseMode) {
            let clock = Clock()
            self.clock = clock
            release = Release(
                record, of: attachment, machineID: "m1", mode: mode, releasedAt: "2025-11-20T09:07:05Z",
                now: { clock.now })
        }

        mutating func run(_ answers: [Answer]) throws {
            var answers = answers[...]
            while true {
                switch release.next(remaining: .seconds(3)) {
                case .send(let request):
                    guard let answer = answers.popFirst() else { return }
                    requests.append(request)
                    release.receive(try answer.result(for: request), wasSentTwice: answer.isTwice)
                case .pause: continue
                case .finished:
                    #expect(answers.isEmpty, "answers that nobody asked for")
                    return
                }
            }
        }

        var verbs: String { requests.map(\.subject.verb.rawValue).joined(separator: " ") }
    }

    private final class Clock {
        var now = moment(1000)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        /// The record's version.
        var version: String?
        var mode: ReleaseMode
        var answers: [Answer]
        var verbs: String
        var isSettled: Bool
        var isUnreachable = false

        init(
            _ version: String?, _ mode: ReleaseMode, _ answers: [Answer], _ verbs: String, settled: Bool = true,
            unreachable: Bool = false
        ) {
            self.version = version
            self.mode = mode
            self.answers = answers
            self.verbs = verbs
            isSettled = settled
            isUnreachable = unreachable
        }

        var testDescription: String {
            "\(version.map { "v\($0)" } ?? "unknown"), \(mode): \(answers.map(\.description).joined(separator: ", "))"
        }
    }

    private static let cases: [Case] = [
        // One write where the version is known.
        Case("7", .cool, [.done()], "patch"),
        Case("7", .delete, [.done()], "delete"),
        Case(nil, .cool, [.object(.ours), .done()], "get patch"),
        Case(nil, .delete, [.object(.ours), .done()], "get delete"),
        // The version is stale, or the object another one.
        Case("7", .cool, [.conflict, .object(.ours, version: "8"), .done()], "patch get patch"),
        Case("7", .cool, [.anotherObject, .object(.ours, version: "8"), .done()], "patch get patch"),
        Case("7", .delete, [.conflict, .object(.ours, version: "8"), .done()], "delete get delete"),
        // It is no longer the attachment's.
        Case("7", .delete, [.conflict, .object(.other, version: "8")], "delete get"),
        Case("7", .cool, [.conflict, .object(.cooling, version: "8")], "patch get"),
        Case("7", .cool, [.notFound], "patch"),
        Case("7", .delete, [.conflict, .notFound], "delete get"),
        Case(nil, .delete, [.object(.other)], "get"),
        Case(nil, .delete, [.object(.cooling)], "get"),
        Case(nil, .delete, [.object(.otherMachine)], "get"),
        Case(nil, .delete, [.object(.oursDeleting)], "get"),
        Case(nil, .cool, [.notFound], "get"),
        // What does not decode can still say whose it is.
        Case(nil, .cool, [.object(.malformed), .done()], "get patch"),
        // A failure that may pass, and a write that was made though its answer was lost.
        Case("7", .delete, [.timeout, .notFound], "delete get"),
        Case("7", .cool, [.timeout, .object(.cooling, version: "8")], "patch get"),
        Case("7", .cool, [.failed, .object(.ours), .done()], "patch get patch"),
        Case("7", .cool, [.tooMany, .object(.ours), .done()], "patch get patch"),
        Case("7", .cool, [.unserved, .object(.ours), .done()], "patch get patch"),
        Case("7", .delete, [.twice(.notFound)], "delete"),
        Case("7", .delete, [.unreachable, .object(.ours), .done()], "delete get delete"),
        // Nothing is proven.
        Case("7", .cool, [.forbidden], "patch", settled: false),
        Case("7", .cool, [.unauthorized], "patch", settled: false),
        Case("7", .cool, [.invalid], "patch", settled: false),
        Case("7", .cool, [.html(404), .html(404)], "patch get", settled: false),
        Case("7", .cool, [.unserved, .unserved], "patch get", settled: false),
        Case(nil, .cool, [.forbidden], "get", settled: false),
        Case("7", .cool, [.untrusted], "patch", settled: false, unreachable: true),
        Case("7", .cool, [.unreachable, .unreachable], "patch get", settled: false, unreachable: true),
        Case("7", .cool, [.timeout, .timeout], "patch get", settled: false, unreachable: true),
        Case("7", .cool, [.timeout, .failed], "patch get", settled: false),
        Case("7", .cool, [], "", settled: false, unreachable: true),
    ]

    @Test(arguments: cases)
    func `a name is settled once nothing of it is the attachment's`(_ test: Case) throws {
        var driver = Driver(try record("10.0.0.5", version: test.version), test.mode)
        try driver.run(test.answers)
        #expect(driver.verbs == test.verbs)
        #expect(driver.release.isSettled == test.isSettled)
        #expect((driver.release.error == nil) == test.isSettled)
        #expect(driver.release.wasUnreachable == test.isUnreachable)
    }

    @Test(arguments: cases)
    func `while a create may still be committed nothing settles a name`(_ test: Case) throws {
        var driver = Driver(try record("10.0.0.5", version: test.version, until: moment(1060)), test.mode)
        try driver.run(test.answers)
        #expect(!driver.release.isSettled)
        #expect(driver.release.error != nil)
        #expect(driver.release.wasUnreachable == test.isUnreachable)
        // An answer of before says nothing of what was committed since.
        driver.clock.now = moment(1060)
        #expect(!driver.release.isSettled)
        var later = Driver(try record("10.0.0.5", version: test.version, until: moment(1060)), test.mode)
        later.clock.now = moment(1060)
        try later.run(test.answers)
        #expect(later.release.isSettled == test.isSettled)
        #expect((later.release.error == nil) == test.isSettled)
    }

    @Test(
        arguments: [
            ([.done()], "deadline passed: the create of IPAllocation \"10.0.0.5\" may still be committed"),
            ([.notFound], "deadline passed: the create of IPAllocation \"10.0.0.5\" may still be committed"),
            (
                [.forbidden],
                "delete ipallocations.ipam.berth.dev \"10.0.0.5\": the API server answered 403 Forbidden: no"
            ),
            (
                [.conflict, .tooMany],
                "get ipallocations.ipam.berth.dev \"10.0.0.5\": the API server answered 429 TooManyRequests: no"
                    + " (after 2 attempts)"
            ),
            ([], "deadline passed: IPAllocation \"10.0.0.5\" was not released yet"),
        ] as [([Answer], String)])
    func `the error says what keeps a name from being settled`(answers: [Answer], text: String) throws {
        var driver = Driver(try record("10.0.0.5", version: "7", until: moment(1060)), .delete)
        try driver.run(answers)
        #expect(driver.release.error?.description == text)
    }

    @Test func `what was made an entry by hand is read before it is released, and stays`() throws {
        var manual = try record("10.0.0.5", version: "7")
        manual.isManual = true
        var driver = Driver(manual, .cool)
        try driver.run([.object(.ours), .done()])
        #expect(driver.verbs == "get patch", "it is none any more")
        let written = try JournalEntry.Record(try JSONFields(manual.json))
        #expect(written == manual)
    }

    // MARK: The writes

    @Test func `a release is conditional on the version that was written down`() throws {
        var driver = Driver(try record("10.0.0.5", version: "7"), .delete)
        try driver.run([.done()])
        let body = try JSON(parsing: try #require(driver.requests.first?.body))
        #expect(body["preconditions"] == ["uid": "u1", "resourceVersion": "7"])
        #expect(driver.requests.first?.pathAndQuery == path + "?timeout=2s")
    }

    @Test func `a release into cooldown takes the attachment away and says when`() throws {
        var driver = Driver(try record("10.0.0.5", version: "7"), .cool)
        try driver.run([.done()])
        let body = try JSON(parsing: try #require(driver.requests.first?.body))
        #expect(body["metadata"]?["uid"] == "u1")
        #expect(body["metadata"]?["resourceVersion"] == "7")
        #expect(body["spec"] == ["state": "Cooling", "attachment": nil, "releasedAt": "2025-11-20T09:07:05Z"])
    }

    @Test func `without a cooldown an address that was used is deleted at once`() throws {
        var driver = Driver(try record("10.0.0.5", cooldown: 0, version: "7"), .cool)
        try driver.run([.done()])
        #expect(driver.verbs == "delete")
        #expect(driver.release.isSettled)
    }

    private let path = "/apis/ipam.berth.dev/v1alpha1/ipallocations/10.0.0.5"

    @Test(
        arguments: [
            ("7", .cool, [.done()], true, false), ("7", .delete, [.done()], true, true),
            (nil, .cool, [.notFound], false, true), (nil, .cool, [.object(.other)], false, false),
            (nil, .delete, [.object(.cooling)], false, false),
        ] as [(String?, ReleaseMode, [Answer], Bool, Bool)])
    func `a release tells whether it took the name away, and whether the address is free`(
        version: String?, mode: ReleaseMode, answers: [Answer], wasMade: Bool, isFree: Bool
    ) throws {
        var driver = Driver(try record("10.0.0.5", version: version), mode)
        #expect(driver.release.freed == nil)
        try driver.run(answers)
        #expect(driver.release.wasMade == wasMade)
        #expect(
            driver.release.freed
                == FreedAddress(address: try address("10.0.0.5"), poolUID: "uid-blue", isFree: isFree))
    }
}
