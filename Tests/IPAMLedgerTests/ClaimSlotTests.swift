import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMLedger

/// What a slot becomes with each answer in each of its states, and what the journal must say then.
@Suite struct ClaimSlotTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var before: [Answer]
        var answer: Answer
        var state: String
        var records: String

        init(_ before: [Answer], _ answer: Answer, _ state: String, _ records: String = "") {
            self.before = before
            self.answer = answer
            self.state = state
            self.records = records
        }

        var testDescription: String { (before + [answer]).map(\.description).joined(separator: ", ") }
    }

    private static let name = "10.0.0.5"
    private static let late = "10.0.0.5 late"

    /// The same for a slot that may choose and for one that must have the address.
    private static let anySlot: [Case] = [
        // The first create.
        Case([], .done(), "held", "10.0.0.5 v1"),
        Case([], .twice(.done()), "held", "10.0.0.5 v1 late"),
        Case([], .twice(.alreadyExists), "reading what may be ours", late),
        Case([], .timeout, "creating again", late),
        Case([], .failed, "creating again", late),
        Case([], .status(503, "ServiceUnavailable"), "creating again", late),
        Case([], .status(504, "Timeout"), "creating again", late),
        Case([], .status(408, "Timeout"), "creating again", late),
        Case([], .html(200), "creating again", late),
        Case([], .html(502), "creating again", late),
        Case([], .twice(.tooMany), "creating again", late),
        Case([], .unreachable, "creating", name),
        Case([], .tooMany, "creating", name),
        Case([], .status(429, "TooManyRequests", retryAfter: 3), "creating", name),
        Case([], .html(404), "creating", name),
        Case([], .unserved, "creating", name),
        Case([], .forbidden, "failed: api"),
        Case([], .unauthorized, "failed: api"),
        Case([], .invalid, "failed: api"),
        Case([], .conflict, "failed: api"),
        Case([], .untrusted, "failed: api"),
        Case([], .twice(.forbidden), "failed: api", late),
        Case([], .unreadable, "failed: api", late),
        // A create after one whose answer never came.
        Case([.timeout], .done(), "held", "10.0.0.5 v1 late"),
        Case([.failed], .done(), "held", "10.0.0.5 v1 late"),
        Case([.timeout], .alreadyExists, "reading what may be ours", late),
        Case([.html(200)], .alreadyExists, "reading what may be ours", late),
        Case([.timeout], .timeout, "creating again", late),
        Case([.timeout], .unreachable, "creating again", late),
        Case([.timeout], .tooMany, "creating again", late),
        Case([.timeout], .forbidden, "failed: api", late),
        Case([.timeout], .unauthorized, "failed: api", late),
        Case([.tooMany], .done(), "held", "10.0.0.5 v1"),
        Case([.unreachable], .done(), "held", "10.0.0.5 v1"),
        Case([.unserved], .done(), "held", "10.0.0.5 v1"),
        // Who has the name of which an answer never came?
        Case([.timeout, .alreadyExists], .object(.ours), "held", "10.0.0.5 v7"),
        Case([.timeout, .timeout, .alreadyExists], .object(.ours), "held", "10.0.0.5 v7 late"),
        Case([.timeout, .alreadyExists], .notFound, "creating again", late),
        Case([.timeout, .alreadyExists, .notFound], .done(), "held", "10.0.0.5 v1 late"),
        Case([.timeout, .alreadyExists], .object(.cooling), "cooling", late),
        Case([.timeout, .alreadyExists], .timeout, "reading what may be ours", late),
        Case([.timeout, .alreadyExists], .failed, "reading what may be ours", late),
        Case([.timeout, .alreadyExists], .tooMany, "reading what may be ours", late),
        Case([.timeout, .alreadyExists], .html(200), "reading what may be ours", late),
        Case([.timeout, .alreadyExists], .unserved, "reading what may be ours", late),
        Case([.timeout, .alreadyExists], .forbidden, "failed: api", late),
        Case([.timeout, .alreadyExists], .unreadable, "failed: api", late),
        // It cools, and is taken over, while the create may still be committed.
        Case([.timeout, .alreadyExists, .object(.cooling)], .done(version: "8"), "held", "10.0.0.5 v8 late"),
        Case([.timeout, .alreadyExists, .object(.cooling)], .conflict, "reading", late),
        Case([.timeout, .alreadyExists, .object(.cooling), .conflict], .object(.ours), "held", "10.0.0.5 v7 late"),
        Case([.timeout, .alreadyExists, .object(.cooling), .conflict], .notFound, "creating again", late),
    ]

    @Test(arguments: anySlot)
    func `a slot that may choose takes in an answer`(_ test: Case) throws { try check(test, exact: false) }

    @Test(arguments: anySlot)
    func `a slot that must have the address takes in an answer`(_ test: Case) throws { try check(test, exact: true) }

    @Test(arguments: [
        Case([], .alreadyExists, "choosing"),
        // Someone else has it: it is given up, and written down while the create may still be committed.
        Case([.timeout, .alreadyExists], .object(.other), "choosing", late),
        Case([.timeout, .alreadyExists], .object(.otherMachine), "choosing", late),
        Case([.timeout, .alreadyExists], .object(.deleting), "choosing", late),
        Case([.timeout, .alreadyExists], .object(.oursDeleting), "choosing", late),
        Case([.timeout, .alreadyExists], .object(.malformed), "choosing", late),
        Case([.timeout, .alreadyExists, .object(.cooling), .conflict], .object(.other), "choosing", late),
        // Both copies of the request are accounted for: the first one is the other's.
        Case([.twice(.alreadyExists)], .object(.other), "choosing", late),
    ])
    func `a slot that may choose gives up what others have`(_ test: Case) throws { try check(test, exact: false) }

    @Test(arguments: [
        Case([], .alreadyExists, "reading", name),
        Case([.alreadyExists], .object(.ours), "held", "10.0.0.5 v7"),
        Case([.alreadyExists], .object(.other), "failed: refused"),
        Case([.alreadyExists], .object(.otherMachine), "failed: refused"),
        Case([.alreadyExists], .object(.deleting), "failed: refused"),
        Case([.alreadyExists], .object(.oursDeleting), "failed: refused"),
        Case([.alreadyExists], .object(.malformed), "failed: malformed"),
        Case([.alreadyExists], .object(.cooling), "cooling", name),
        Case([.alreadyExists], .object(.coolingElsewhere), "cooling", name),
        Case([.alreadyExists], .object(.ownCoolingInOtherPool), "cooling", name),
        Case([.alreadyExists], .object(.coolingInOtherPool), "failed: refused"),
        Case([.alreadyExists], .notFound, "creating", name),
        Case([.alreadyExists], .timeout, "reading", name),
        Case([.alreadyExists], .forbidden, "failed: api"),
        Case([.timeout, .alreadyExists], .object(.other), "failed: refused", late),
        Case([.timeout, .alreadyExists], .object(.malformed), "failed: malformed", late),
        // The take-over.
        Case([.alreadyExists, .object(.cooling)], .done(version: "8"), "held", "10.0.0.5 v8"),
        Case([.alreadyExists, .object(.cooling)], .twice(.done(version: "8")), "held", "10.0.0.5 v8"),
        Case([.alreadyExists, .object(.cooling)], .conflict, "reading", name),
        Case([.alreadyExists, .object(.cooling)], .notFound, "reading", name),
        Case([.alreadyExists, .object(.cooling)], .twice(.conflict), "reading what may be ours", name),
        Case([.alreadyExists, .object(.cooling)], .timeout, "reading what may be ours", late),
        Case([.alreadyExists, .object(.cooling)], .failed, "reading what may be ours", late),
        Case([.alreadyExists, .object(.cooling)], .html(200), "reading what may be ours", late),
        Case([.alreadyExists, .object(.cooling)], .tooMany, "taking over", name),
        Case([.alreadyExists, .object(.cooling)], .unreachable, "taking over", name),
        Case([.alreadyExists, .object(.cooling)], .unserved, "taking over", name),
        Case([.alreadyExists, .object(.cooling)], .forbidden, "failed: api"),
        Case([.alreadyExists, .object(.cooling)], .invalid, "failed: api"),
        Case([.alreadyExists, .object(.cooling)], .unreadable, "failed: api", late),
        // After a take-over whose answer never came.
        Case([.alreadyExists, .object(.cooling), .timeout], .object(.ours), "held", "10.0.0.5 v7"),
        Case([.alreadyExists, .object(.cooling), .timeout], .object(.other), "failed: refused"),
        Case([.alreadyExists, .object(.cooling), .timeout], .object(.cooling), "cooling", late),
        Case([.alreadyExists, .object(.cooling), .timeout], .notFound, "creating again", late),
        Case([.alreadyExists, .object(.cooling), .timeout], .forbidden, "failed: api", late),
        Case(
            [.alreadyExists, .object(.cooling), .timeout, .object(.cooling)], .conflict, "reading what may be ours",
            name),
        Case([.alreadyExists, .object(.cooling), .conflict], .object(.cooling, version: "8"), "cooling", name),
    ])
    func `a slot that must have the address finds out who has it`(_ test: Case) throws { try check(test, exact: true) }

    private func check(_ test: Case, exact: Bool) throws {
        var driver = try SlotDriver.one(exact: exact)
        for answer in test.before { try driver.next(answer) }
        try driver.next(test.answer)
        #expect(driver.slot.state.brief == test.state)
        #expect(driver.records == test.records)
    }

    // MARK: What is written down before a request

    @Test func `before a create is sent its name is written down, and until when it may be committed`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.records.isEmpty)
        #expect(driver.ask() == "create 10.0.0.5")
        let record = try #require(driver.slot.journalRecords.first)
        #expect(record.brief == "10.0.0.5 late")
        #expect(record.mayCommitUntil == driver.deadline + JournalEntry.commitSlack)
        #expect(record.pool == "blue")
        #expect(record.poolUID == "uid-blue")
        #expect(record.cooldownSeconds == 10)
    }

    @Test func `the server's time for a create ends before the caller's`() throws {
        var driver = try SlotDriver.one()
        _ = driver.ask()
        #expect(driver.request?.pathAndQuery == "/apis/ipam.berth.dev/v1alpha1/ipallocations?timeout=7s")
    }

    @Test func `a take-over is made on condition of the version that was read`() throws {
        var driver = try SlotDriver.one(exact: true)
        try driver.next(.alreadyExists)
        try driver.next(.object(.cooling, version: "41"))
        driver.now = driver.now + ClaimSlot.takeOverWait
        #expect(driver.ask() == "update 10.0.0.5")
        #expect(driver.records == "10.0.0.5 late")
        #expect(driver.request?.isConditional == true)
        #expect(driver.request?.query.map(\.name) == ["timeout"])
    }

    // MARK: Waiting

    @Test func `a cooling address is left alone for two seconds after it was read`() throws {
        var driver = try SlotDriver.one(exact: true)
        try driver.next(.alreadyExists)
        try driver.next(.object(.cooling))
        #expect(driver.ask() == "wait 2 s")
        driver.now = driver.now + .milliseconds(1999)
        #expect(driver.ask() == "wait 1 ms")
        driver.now = driver.now + .milliseconds(1)
        #expect(driver.ask() == "update 10.0.0.5")
    }

    @Test func `a cooling address that changed meanwhile is left alone for two seconds more`() throws {
        var driver = try SlotDriver.one(exact: true)
        try driver.next(.alreadyExists)
        try driver.next(.object(.cooling, version: "7"))
        try driver.next(.conflict)
        try driver.next(.object(.cooling, version: "8"))
        #expect(driver.ask() == "wait 2 s")
    }

    @Test func `the server's Retry-After is kept, up to a bound`() throws {
        var driver = try SlotDriver.one()
        try driver.next(.status(429, "TooManyRequests", retryAfter: 3))
        #expect(driver.ask() == "wait 3 s")
        driver.now = driver.now + .seconds(3)
        #expect(driver.ask() == "create 10.0.0.5")

        driver = try SlotDriver.one()
        try driver.next(.status(429, "TooManyRequests", retryAfter: 86_400))
        #expect(driver.ask() == "wait 10 s")
    }

    @Test func `a refused create is followed by the next one without a pause`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", strategy: .sequential, free: "10.0.0.5 10.0.0.6")])
        try driver.next(.alreadyExists)
        #expect(driver.ask() == "create 10.0.0.6")
    }
}
