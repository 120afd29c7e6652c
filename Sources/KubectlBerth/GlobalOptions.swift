import ArgumentParser
import BerthCommandLine
import Glibc
import IPAMAPI
import IPAMConsole
import KubernetesClient
import KubernetesClientYAML
import KubernetesCore

extension OutputFormat: ExpressibleByArgument {}

enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never

    var value: Bool? {
        switch self {
        case .auto: nil
        case .always: true
        case .never: false
        }
    }
}

struct GlobalOptions: ParsableArguments {
    @Option(help: "The kubeconfig file; else those of KUBECONFIG, ~/.kube/config, or the pod's service account.")
    var kubeconfig: String?

    @Option(help: "The context of the kubeconfig; else its current one.")
    var context: String?

    @Option(name: .shortAndLong, help: "The namespace of pods that are named without one; else the context's.")
    var namespace: String?

    @Option(
        help: "Where berth-controller is, and where node agents are looked for when that may not be in all namespaces.")
    var systemNamespace = "berth-system"

    @Option(name: .shortAndLong, help: "table, wide, json, yaml or name.")
    var output = OutputFormat.table

    @Option(help: "auto, always or never. auto colours on a terminal, unless NO_COLOR is set.")
    var color = ColorChoice.auto

    @Option(help: "How long one request may take, with its repetitions.")
    var requestTimeout = Seconds(60)

    func validate() throws {
        guard requestTimeout.duration >= .seconds(1) else { throw ValidationError("--request-timeout: at least 1s") }
    }

    /// Connects and lends what commands work with.
    func session() throws -> Session { try Session(self) }
}

/// What a command works with.
struct Session {
    let options: GlobalOptions
    let client: Client
    /// Of pods that are named without one.
    let namespace: String
    let progress = ProgressLine()
    let style: Style

    init(_ options: GlobalOptions) throws {
        self.options = options
        let chain = try Self.chain(options.kubeconfig)
        let selection = try chain.load(context: options.context, runner: .process)
        var configuration = selection.configuration
        configuration.userAgent = "kubectl-berth/\(ProductVersion.text)"
        client = Client(try Connection(configuration))
        namespace = options.namespace ?? selection.namespace ?? "default"
        style = Terminal.style(color: options.color.value)
    }

    /// Which files make up the kubeconfig. Each of them can be read.
    private static func chain(_ option: String?) throws(ConsoleError) -> KubeconfigChain {
        let remedy = "set KUBECONFIG or --kubeconfig"
        let chain: KubeconfigChain
        do throws(ConfigurationError) {
            chain = try KubeconfigChain(
                option: option, environment: Terminal.environment, exists: { access($0, F_OK) == 0 })
        } catch {
            // One of the messages says it itself.
            throw ConsoleError(error.message, remedy: error.message.contains("--kubeconfig") ? "" : remedy)
        }
        let files: [String] =
            switch chain.source {
            case .file(let path): [path]
            case .list(let paths): paths
            case .inCluster: []
            }
        for file in files where access(file, R_OK) != 0 {
            let code = errno
            throw ConsoleError("\(file): cannot be read: \(String(cString: strerror(code)))", remedy: remedy)
        }
        return chain
    }

    var reader: ClusterReader {
        ClusterReader(client, timeout: options.requestTimeout.duration) { [progress] what, count in
            progress.show("reading \(what): \(count)")
        }
    }

    func show(_ report: some Report) {
        progress.clear()
        Terminal.say(report.rendered(as: options.output, style))
    }

    /// Seconds since 1970.
    var wallClock: Int64 { Int64(time(nil)) }
    var timestamp: String { Timestamp.rfc3339(secondsSince1970: wallClock) }

    /// Sleeps until a moment, and says for what.
    func wait(until moment: Moment, _ what: String) {
        while true {
            let rest = moment - .now()
            guard rest > .zero else { return }
            progress.show("\(what): \(rest.components.seconds + 1) s")
            min(moment, .now() + .milliseconds(500)).sleep()
        }
    }
}
