import ArgumentParser
import BerthCommandLine
import IPAMAPI

/// The process: subcommands, and options from the environment too.
@main
struct BerthNode: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "berth-node",
        abstract: "Looks after Berth on one node.",
        discussion: """
            Installs the CNI plugin and the files that it needs, keeps its token fresh, and frees the addresses of \
            sandboxes that are gone.

            Each option can be set by an environment variable too: BERTH_ and its name in capitals, for example \
            BERTH_GRACE_PERIOD=45s. What is given on the command line counts more.
            """,
        version: "berth-node \(ProductVersion.text)",
        subcommands: [Run.self, Ready.self, Alive.self, Version.self], defaultSubcommand: Run.self)

    static func main() async {
        do {
            var command = try parseAsRoot(arguments(Array(CommandLine.arguments.dropFirst())))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }

    /// Puts the options of the environment behind the subcommand that has them, before those that were given.
    static func arguments(_ given: [String]) -> [String] {
        let subcommands: [String: [String]] = [
            "run": Run.optionNames, "ready": StateOptions.optionNames, "alive": StateOptions.optionNames,
        ]
        if let first = given.first, !first.hasPrefix("-") {
            return [first] + EnvironmentArguments.of(subcommands[first] ?? []) + given.dropFirst()
        }
        let isAboutItself = given.contains { ["--help", "-h", "--version", "help"].contains($0) }
        return isAboutItself ? given : ["run"] + EnvironmentArguments.of(Run.optionNames) + given
    }
}

extension BerthNode {
    struct Version: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Prints the version.")

        func run() { print("berth-node \(ProductVersion.text)") }
    }
}
