import ArgumentParser
import BerthCommandLine
import IPAMConsole
import KubernetesCore

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compares the ledger with pods, pools, nodes, claims and blocks.",
        discussion: """
            Finds duplicates (two may use one address), leaks (a holder that is gone) and strangers (what the ledger says \
            and cannot be). What seems to be wrong is looked at a second time before it is reported: after the grace \
            period where a holder seems to be gone, or claims or blocks disagree. Exit status 1 when something is found \
            and not mended.
            """)

    @Argument(help: "IPPools; all without any.", completion: PoolCompletion.kind)
    var pools: [String] = []

    @Flag(help: "Release leaks that are proven, by the rules of berth-controller, after one confirmation.")
    var fix = false

    @Flag(name: .shortAndLong, help: "Do not ask for the confirmation.")
    var yes = false

    @Option(help: "How long a holder must be gone.")
    var gracePeriod = Seconds(30)

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func validate() throws {
        if yes, !fix { throw ValidationError("--yes: only with --fix") }
    }

    func run() throws {
        let session = try options.session()
        var run = CheckRun(
            session.reader, systemNamespace: options.systemNamespace, gracePeriod: gracePeriod.duration)
        let moment = try run.firstLook(pools: pools)
        if let refusal = run.refusal {
            session.progress.clear()
            if fix { throw refusal }
            Terminal.complain("warning: --fix would be \(refusal)")
        }
        if let moment {
            session.wait(until: moment, "something seems wrong; looking again")
        }
        var report = CheckReport(findings: try run.secondLook(), counts: run.counts)
        let fixable = report.findings.filter(\.isFixable)
        if fix, !fixable.isEmpty {
            if options.output.isForPeople, !yes { session.show(report) }
            session.progress.clear()
            let question = "Release \(Figures.count(fixable.count, "address", "addresses"))?"
            if !yes, try !Terminal.confirms(question) { throw ExitCode.no }
            report.fixed = try run.release(fixable, timestamp: session.timestamp)
        } else if fix {
            report.fixed = []
        }
        session.show(report)
        if !report.remaining.isEmpty { throw ExitCode.no }
    }
}
