import ArgumentParser
import IPAMConsole
import JSONText
import KubernetesClient
import KubernetesClientYAML

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows which pools an ADD for a pod would look at, in which order, and what it would get now.",
        discussion: """
            Changes nothing. It tells which IPClaim the pod has or would get, and what its node has of pools that are \
            given out in blocks. The network configuration is that of --config, the pools are those of --pools; without \
            both, Multus' NetworkAttachmentDefinitions that the pod's annotations name are read. Exit status 1 when an \
            ADD would fail.
            """)

    @Argument(help: "POD or NAMESPACE/POD.")
    var pod: String

    @Option(help: "A network configuration of the node (a .conf or .conflist file).", completion: .file())
    var config: String?

    @Option(help: "IPPools in order of preference, with commas between, as in `ipam.pools`.")
    var pools: String?

    @Option(
        help: """
            The pod's interface to explain, such as net1; without it all that the annotations tell of, and eth0 for \
            --config and --pools.
            """)
    var interface: String?

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func validate() throws {
        if config != nil, pools != nil { throw ValidationError("--config and --pools: only one of both") }
    }

    func run() throws {
        let source: ExplainSource
        if let config {
            source = .document(try document(config), name: config)
        } else if let pools {
            source = .pools(pools.split(separator: ",").map(String.init))
        } else {
            source = .annotations
        }
        let session = try options.session()
        let key: PodKey
        switch try HolderQuery(pod, namespace: session.namespace) {
        case .pod(let named), .name(let named): key = named
        case .address, .allocation, .node, .claim:
            throw ConsoleError("\"\(pod)\" is not a pod: write POD or NAMESPACE/POD")
        }
        let report = try session.reader.explanation(of: key, source, interface: interface)
        session.show(report)
        if !report.isServed { throw ExitCode.no }
    }

    private func document(_ path: String) throws -> JSON {
        do throws(ConfigurationError) {
            return try YAMLText.json(FileContents.read(path), path: path)
        } catch {
            throw ConsoleError("network configuration \(error)")
        }
    }
}
