import ArgumentParser
import IPAMConsole

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows how full the pools are, exhausted ones first, and what is wrong.")

    @Argument(help: "IPPools; all without any.", completion: PoolCompletion.kind)
    var pools: [String] = []

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func run() throws {
        let session = try options.session()
        session.show(
            try session.reader.status(
                systemNamespace: options.systemNamespace, poolNames: pools, wallClock: session.wallClock))
    }
}

struct Who: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Shows who has an address, or which ones a pod, node or claim has: since when, in what state, and why.",
        discussion: "Exit status 1 when nobody has it.")

    @Argument(
        help: """
            An address (IPv6 in any spelling), NETWORK/ADDRESS, the name of an allocation, POD, NAMESPACE/POD, NODE or \
            IPCLAIM; pod/NAME, node/NAME, claim/NAME and claim/NAMESPACE/NAME say which is meant.
            """)
    var subject: String

    @Option(help: "The network of an address, \"\" for the default one; else all.")
    var network: String?

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func run() throws {
        let session = try options.session()
        let query = try HolderQuery(subject, namespace: session.namespace, network: network)
        let report = try session.reader.holders(
            query, systemNamespace: options.systemNamespace, wallClock: session.wallClock)
        session.show(report)
        if report.holders.isEmpty, report.claims.isEmpty { throw ExitCode.no }
    }
}

struct Free: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the free ranges of a pool.", discussion: "Exit status 1 when nothing is free.")

    @Argument(help: "An IPPool.", completion: PoolCompletion.kind)
    var pool: String

    @Option(help: "How many ranges are shown, at most.")
    var limit = 50

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit: 0 or more") }
    }

    func run() throws {
        let session = try options.session()
        let report = try session.reader.free(pool: pool, limit: limit)
        session.show(report)
        if report.free == 0 { throw ExitCode.no }
    }
}
