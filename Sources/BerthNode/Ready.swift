import ArgumentParser
import IPAMNode
import KubernetesClient
import KubernetesCore

struct StateOptions: ParsableArguments {
    static let optionNames = ["state-file"]

    @Option(help: "Where the agent writes what it found.")
    var stateFile = HostPaths().stateFile

    func read() throws -> NodeState {
        do {
            return try NodeState.read(from: stateFile)
        } catch {
            throw Refusal(description: "\(error)")
        }
    }
}

/// Said on standard error, with exit status 1.
struct Refusal: Error, CustomStringConvertible {
    let description: String
}

extension BerthNode {
    struct Ready: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Succeeds when an ADD on this node would work now; otherwise says why not.")

        @OptionGroup var state: StateOptions

        func run() throws {
            if let problem = try state.read().problem(now: .now(), bootID: HostMachine.bootID) {
                throw Refusal(description: problem)
            }
        }
    }

    struct Alive: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Succeeds while the agent looks after the node, whatever it finds.")

        @OptionGroup var state: StateOptions

        func run() throws {
            if let problem = try state.read().staleness(now: .now(), bootID: HostMachine.bootID) {
                throw Refusal(description: problem)
            }
        }
    }
}
