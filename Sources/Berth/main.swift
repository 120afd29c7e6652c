import CNIProtocol
import Glibc
import IPAMAPI
import KubernetesClient
import KubernetesCore

// A write that fails is an error like others. A runtime may limit the size of files.
for number in [SIGPIPE, SIGXFSZ] { signal(number, SIG_IGN) }

let invocation = Invocation(
    environment: Process.environment,
    arguments: Array(CommandLine.arguments.dropFirst()),
    readStandardInput: Process.readStandardInput,
    writeStandardOutput: { Process.write($0, to: STDOUT_FILENO) },
    writeStandardError: { _ = Process.write($0, to: STDERR_FILENO) })

let plugin = Plugin(environment: invocation.environment, startedAt: .now())
exit(Dispatcher(name: "berth", version: ProductVersion.text, plugin: plugin, invocation: invocation).run())
