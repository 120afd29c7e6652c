import ArgumentParser
import IPAMAPI
import IPAMConsole
import IPAMEngine
import IPAddressing
import KubernetesClient
import KubernetesCore

struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Takes an address from its holder, after a confirmation.",
        discussion: """
            Refuses without --force what somebody may use: the address of a pod that is there, of a node that does not \
            report or whose agent decides, and of a pod that is gone, for its sandbox may still run: berth-controller and \
            `check --fix` free that after a grace period. Refuses what is kept for an IPClaim with --force, too: it is \
            free when the claim is deleted. The write is conditional on what was shown.
            """)

    @Argument(help: "An address, NETWORK/ADDRESS, or the name of an allocation.")
    var address: String

    @Option(help: "The network of the address; else the default one.")
    var network: String?

    @Flag(help: "Also when somebody may use it: two may have one address afterwards.")
    var force = false

    @Flag(name: .shortAndLong, help: "Do not ask for the confirmation.")
    var yes = false

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func run() throws {
        let session = try options.session()
        let query = try HolderQuery(address, namespace: session.namespace, network: network)
        guard let name = query.allocationName else {
            throw ConsoleError("\"\(address)\" is not an address", remedy: "`kubectl berth who` shows those of a pod")
        }
        let reader = session.reader
        guard
            let (entry, decision) = try reader.releaseDecision(
                name.objectName, systemNamespace: options.systemNamespace)
        else {
            session.progress.clear()
            throw ConsoleError(
                "nobody has \(name.address)" + (name.network.isEmpty ? "" : " in network \(name.network)"),
                remedy: "`kubectl berth who \(name.address)` looks into all networks")
        }
        session.progress.clear()
        let why: String
        switch decision {
        case .allowed(let reason): why = reason
        case .needsForce(let reason, let remedy):
            guard force else {
                throw ConsoleError("refused to release \(name.objectName): \(reason)", remedy: remedy)
            }
            why = "forced, although \(reason)"
        case .refused(let reason, let remedy):
            throw ConsoleError("refused to release \(name.objectName): \(reason)", remedy: remedy)
        }
        Terminal.complain("\(name.objectName), \(entry.record.state.rawValue), of \(entry.holderText): \(why)")
        if !yes, try !Terminal.confirms("Release it?") { throw ExitCode.no }
        do throws(APIError) {
            _ = try session.client.perform(entry.releaseRequest(at: session.timestamp), deadline: reader.deadline)
        } catch {
            guard error.isConflict || error.isNotFound || error.namesAnotherObject else { throw ConsoleError(error) }
            throw ConsoleError(
                "\(name.objectName) was changed at the same time, and left as it is", remedy: "look again")
        }
        session.show(ReleaseReport(entry))
    }
}

extension HolderQuery {
    /// Of an address without a network that in the default one.
    var allocationName: AllocationName? {
        switch self {
        case .address(let address): AllocationName(address)
        case .allocation(let name): name
        case .pod, .node, .claim, .name: nil
        }
    }
}
