import IPAMNode
import KubernetesCore
import Testing

@Suite("When a file of the host is written")
struct FileKeeperTests {
    private static func at(_ seconds: Int) -> Moment { Moment(nanoseconds: 0) + .seconds(seconds) }

    @Test(arguments: [
        (FileKeeper.Found.missing, FileKeeper.Action.write), (.same, .none), (.broken, .write), (.foreign, .refuse),
        // A new agent comes with what is to be there from now on.
        (.other, .write),
    ])
    func `a new agent writes all but what is right and what is not ours`(
        found: FileKeeper.Found, action: FileKeeper.Action
    ) {
        var keeper = FileKeeper()
        #expect(keeper.decide(found, isAlone: true, now: Self.at(0)) == action)
    }

    @Test func `what goes missing or breaks is put right at once`() {
        var keeper = FileKeeper()
        _ = keeper.decide(.same, isAlone: true, now: Self.at(0))
        for found in [FileKeeper.Found.missing, .broken] {
            #expect(keeper.decide(found, isAlone: false, now: Self.at(1)) == .write)
        }
        #expect(keeper.decide(.foreign, isAlone: true, now: Self.at(2)) == .refuse)
    }

    @Test func `another content that works is left alone for a while`() {
        var keeper = FileKeeper()
        _ = keeper.decide(.same, isAlone: true, now: Self.at(0))
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(10)) == .none)
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(69)) == .none)
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(70)) == .write)
    }

    @Test func `and for as long as another agent is about`() {
        var keeper = FileKeeper()
        _ = keeper.decide(.same, isAlone: true, now: Self.at(0))
        for second in stride(from: 10, through: 300, by: 10) {
            #expect(keeper.decide(.other, isAlone: false, now: Self.at(second)) == .none)
        }
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(301)) == .none)
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(360)) == .write)
    }

    @Test func `what is right in between begins the wait anew`() {
        var keeper = FileKeeper()
        _ = keeper.decide(.same, isAlone: true, now: Self.at(0))
        _ = keeper.decide(.other, isAlone: true, now: Self.at(10))
        _ = keeper.decide(.same, isAlone: true, now: Self.at(60))
        #expect(keeper.decide(.other, isAlone: true, now: Self.at(71)) == .none)
    }
}
