import ArgumentParser
import BerthCommandLine
import IPAMAPI
import IPAMConsole
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore

struct Wait: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Waits for a pool or an allocation to be as it should.",
        discussion: """
            For a pool: free=N, condition=Ready, condition=Exhausted=False, gone. For an address: state=Bound, gone. An \
            address without a network is looked up in every one: it is gone when nobody has it in any, and for its state \
            one network must have it. Exit status 1 when it was not so in time.
            """)

    @Argument(
        help: "An IPPool, an address, NETWORK/ADDRESS, or the name of an allocation.", completion: PoolCompletion.kind)
    var subject: String

    @Option(name: .customLong("for"), help: "What to wait for.")
    var condition: String

    @Option(help: "How long to wait.")
    var timeout = Seconds(30)

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func run() throws {
        let condition = try WaitCondition(condition)
        let session = try options.session()
        let target = try WaitTarget(subject)
        guard target.isPool ? condition.isOfPools : condition.isOfAllocations else {
            throw ConsoleError("--for=\(condition) is nothing that \(target.description) has")
        }
        let deadline = Moment.now() + timeout.duration
        let reader = session.reader
        while true {
            let (outcome, found) = try reader.judge(target, condition)
            guard case .notYet(let state) = outcome else {
                session.show(WaitReport(found, condition))
                return
            }
            let now = Moment.now()
            guard now < deadline else {
                session.progress.clear()
                Terminal.complain(
                    "\(target.description) is not \(condition) after"
                        + " \(DurationText.text(seconds: Int(timeout.duration.components.seconds))): \(state)")
                throw ExitCode.no
            }
            session.progress.show("waiting for \(target.description) to be \(condition): \(state)")
            min(deadline, now + .milliseconds(500)).sleep()
        }
    }
}
