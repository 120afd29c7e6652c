import ArgumentParser
import CHost
import Glibc
import IPAMAPI
import IPAMConsole
import KubernetesClient
import KubernetesCore

/// `kubectl berth`: what an administrator asks of the ledger.
@main
struct KubectlBerth: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubectl-berth",
        abstract: "Shows and mends Berth's ledger of addresses.",
        discussion: """
            As kubectl-berth on PATH it is called as `kubectl berth`. Exit status: 0 for yes, 1 for no (findings, nobody, \
            not in time), 2 for errors.
            """,
        version: "kubectl-berth \(ProductVersion.text)",
        subcommands: [
            Status.self, Who.self, Explain.self, Check.self, Release.self, Free.self, Wait.self, Version.self,
        ])

    static func main() {
        chost_initialise()
        if PoolCompletion.answerKubectl() { return }
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let code as ExitCode {
            exit(withError: code)
        } catch {
            // Help and completion scripts come as errors too.
            if exitCode(for: error).isSuccess { exit(withError: error) }
            let isUsage = exitCode(for: error) == .validationFailure
            Terminal.complain(isUsage ? fullMessage(for: error) : "error: \(message(of: error))")
            Glibc.exit(2)
        }
    }

    private static func message(of error: any Error) -> String {
        switch error {
        case let error as ConsoleError: error.description
        case let error as APIError: ConsoleError(error).description
        case let error as ConfigurationError: error.message
        default: "\(error)"
        }
    }
}

extension ExitCode {
    /// The answer is no.
    static let no = ExitCode(1)
}
