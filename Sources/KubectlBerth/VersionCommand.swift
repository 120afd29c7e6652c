import ArgumentParser
import IPAMAPI
import IPAMConsole

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the versions of this program, the custom resources, the controller and each node's agent.",
        discussion: """
            A node's agent installs the plugin of its own version. One minor version of skew works. Exit status 2 when \
            nothing of the cluster can be read.
            """)

    @Flag(help: "Only of this program, without a cluster.")
    var client = false

    @OptionGroup(title: "Common options") var options: GlobalOptions

    func run() throws {
        if client {
            let report = VersionReport([.init("kubectl-berth", version: ProductVersion.text)])
            Terminal.say(report.rendered(as: options.output, Terminal.style(color: options.color.value)))
            return
        }
        let session = try options.session()
        let reading = session.reader.versions(
            systemNamespace: options.systemNamespace, wallClock: session.wallClock)
        session.show(reading.report)
        guard let failure = reading.failure else { return }
        if reading.isVain { throw failure }
        Terminal.complain("not everything could be read: \(failure)")
    }
}
