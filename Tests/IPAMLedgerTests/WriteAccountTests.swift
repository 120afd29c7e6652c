import IPAMAPI
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

/// What an account of writes says after each answer, and for how long.
@Suite struct WriteAccountTests {
    private static let limit = moment(1008) + JournalEntry.commitSlack

    private func sent() -> WriteAccount {
        var account = WriteAccount()
        account.send(deadline: moment(1008))
        return account
    }

    private func error(_ answer: Answer) throws -> APIError {
        let write = APIRequest.create(.ipAllocations, name: "10.0.0.5", object: [:])
        guard case .failure(let error) = try answer.result(for: write) else {
            throw JSONDecodingError(path: "\(answer)", problem: "no failure")
        }
        return error
    }

    @Test func `nothing is open before a write, and a write is until it is answered`() {
        #expect(WriteAccount().until == nil)
        #expect(sent().until == Self.limit)
        var later = sent()
        later.send(deadline: moment(1000))
        #expect(later.until == Self.limit, "an earlier write may last longer")
        later.send(deadline: moment(1009))
        #expect(later.until == moment(1009) + JournalEntry.commitSlack)
    }

    // MARK: Creates

    @Test func `a create that was made is settled, unless the transport repeated it`() {
        var once = sent()
        once.createWasMade(wasSentTwice: false)
        #expect(once.until == nil && !once.hasOpenCreates)
        var twice = sent()
        twice.createWasMade(wasSentTwice: true)
        #expect(twice.until == Self.limit && twice.hasOpenCreates)
    }

    @Test(arguments: [Answer.alreadyExists, .tooMany, .unreachable, .forbidden, .unserved])
    func `a create that cannot have been made is settled, unless the transport repeated it`(answer: Answer) throws {
        var once = sent()
        once.createFailed(try error(answer), wasSentTwice: false)
        #expect(once.until == nil)
        var twice = sent()
        twice.createFailed(try error(answer), wasSentTwice: true)
        #expect(twice.until == Self.limit)
    }

    @Test(arguments: [Answer.timeout, .failed, .html(502), .status(504, "Timeout")])
    func `a create that may have been made stays open, however later ones end`(answer: Answer) throws {
        var account = sent()
        account.createFailed(try error(answer), wasSentTwice: false)
        #expect(account.until == Self.limit && account.hasOpenCreates)
        account.send(deadline: moment(1008))
        account.createFailed(try error(.alreadyExists), wasSentTwice: false)
        #expect(account.until == Self.limit, "it may be what exists, or come when that is gone")
        account.send(deadline: moment(1008))
        account.createWasMade(wasSentTwice: false)
        #expect(account.until == Self.limit)
    }

    @Test func `a name that is ours tells of one create`() throws {
        var account = sent()
        account.createFailed(try error(.timeout), wasSentTwice: false)
        var two = account
        account.foundOurs()
        #expect(account.until == nil)
        two.createFailed(try error(.timeout), wasSentTwice: false)
        two.foundOurs()
        #expect(two.until == Self.limit)
        two.foundOurs()
        #expect(two.until == nil)
    }

    @Test func `a name that is somebody else's tells of no create`() throws {
        var account = sent()
        account.createFailed(try error(.timeout), wasSentTwice: false)
        account.foundOthers(mayBeInVersion: false)
        #expect(account.until == Self.limit)
    }

    @Test func `of creates of an earlier ADD one sighting tells too little`() {
        var account = WriteAccount(resuming: moment(1040))
        #expect(account.until == moment(1040) && account.hasOpenCreates)
        account.foundOurs()
        #expect(account.until == moment(1040))
    }

    // MARK: Take-overs

    @Test func `a take-over that was made, or whose version is gone, is settled`() throws {
        var made = sent()
        made.takeOverWasMade()
        #expect(made.until == nil)
        for answer in [Answer.conflict, .notFound] {
            var account = sent()
            #expect(try !account.takeOverFailed(error(answer), wasSentTwice: false))
            #expect(account.until == nil)
        }
    }

    @Test func `a take-over that may have been made is open until the version is gone`() throws {
        var account = sent()
        #expect(try account.takeOverFailed(error(.timeout), wasSentTwice: false))
        #expect(account.until == Self.limit && account.hasOpenTakeOver)
        var (same, other, ours, refused) = (account, account, account, account)
        same.foundOthers(mayBeInVersion: true)
        #expect(same.until == Self.limit)
        other.foundOthers(mayBeInVersion: false)
        #expect(other.until == nil)
        ours.foundOurs()
        #expect(ours.until == nil)
        // The conflict may be its own doing.
        #expect(try refused.takeOverFailed(error(.conflict), wasSentTwice: false))
        #expect(refused.until == nil)
    }

    @Test(arguments: [Answer.tooMany, .unreachable])
    func `a take-over that cannot have been made leaves an earlier one open`(answer: Answer) throws {
        var account = sent()
        #expect(try !account.takeOverFailed(error(answer), wasSentTwice: false))
        #expect(account.until == nil)
        account = sent()
        _ = try account.takeOverFailed(error(.timeout), wasSentTwice: false)
        #expect(try account.takeOverFailed(error(answer), wasSentTwice: false))
        #expect(account.until == Self.limit)
    }

    @Test func `what is ours after a take-over tells of no create`() throws {
        var account = sent()
        account.createFailed(try error(.timeout), wasSentTwice: false)
        account.willTakeOver()
        account.send(deadline: moment(1008))
        _ = try account.takeOverFailed(error(.timeout), wasSentTwice: false)
        account.foundOurs()
        #expect(account.until == Self.limit && account.hasOpenCreates && !account.hasOpenTakeOver)
    }
}
