import Glibc
import KubernetesClient
import KubernetesCore
import Synchronization
import Testing

@testable import IPAMLedger

@Suite(.timeLimit(.minutes(1))) struct JournalLockTests {
    private func isFree(_ scope: JournalLock.Scope, _ path: String) throws -> Bool {
        // At a deadline that has passed it is asked for once.
        if let lock = try JournalLock.take(path: path, scope: scope, deadline: moment(0), now: { moment(1) }) {
            lock.drop()
            return true
        }
        return false
    }

    @Test func `a lock is held until it is dropped, and keeps nobody else out`() throws {
        try withFolder { folder in
            let path = "\(folder)/locks"
            let scopes: [JournalLock.Scope] = [
                .node, .pool(uid: "a"), .pool(uid: "b"), .attachment(digest: "a"), .attachment(digest: "b"),
            ]
            for held in scopes {
                guard
                    let lock = try JournalLock.take(
                        path: path, scope: held, deadline: moment(0), now: { moment(1) })
                else {
                    Issue.record("nobody held it")
                    return
                }
                for scope in scopes { #expect(try isFree(scope, path) == (scope != held)) }
                lock.drop()
                #expect(try isFree(held, path))
            }
        }
    }

    private final class Room: Sendable {
        private let state = Mutex((inside: 0, most: 0, visits: 0))

        var most: Int { state.withLock(\.most) }
        var visits: Int { state.withLock(\.visits) }

        func enter() {
            state.withLock { state in
                state.inside += 1
                state.visits += 1
                state.most = max(state.most, state.inside)
            }
        }

        func leave() { state.withLock { $0.inside -= 1 } }
    }

    @Test func `threads of one process exclude each other`() async {
        let room = Room()
        let path = "/tmp/berth-lock.\(getpid()).\(UInt64.random(in: 0...UInt64.max))"
        defer { unlink(path) }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<20 {
                        let deadline = Moment.now() + .seconds(50)
                        guard
                            let lock = try? JournalLock.take(
                                path: path, scope: .attachment(digest: "a"), deadline: deadline, now: { .now() })
                        else { continue }
                        room.enter()
                        // Lets another thread run, if the lock does not keep it out.
                        usleep(100)
                        room.leave()
                        lock.drop()
                    }
                }
            }
        }
        #expect(room.most == 1)
        #expect(room.visits == 160)
    }

    @Test func `a lock that cannot be had is an error that names the file`() throws {
        try withFolder { folder in
            let error = #expect(throws: JournalError.self) { try isFree(.node, "\(folder)/none/locks") }
            #expect(error.map { "\($0)".contains("\(folder)/none/locks") } == true)
        }
    }

    @Test func `bytes are valid offsets, odd for attachments and even for pools`() {
        for index in 0..<1000 {
            let attachment = JournalLock.Scope.attachment(digest: "\(index)").byte
            let pool = JournalLock.Scope.pool(uid: "\(index)").byte
            #expect(attachment > 0 && attachment % 2 == 1)
            #expect(pool > 0 && pool % 2 == 0)
        }
        #expect(JournalLock.Scope.node.byte == 0)
    }
}
