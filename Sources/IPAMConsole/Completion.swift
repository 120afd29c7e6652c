/// What a shell is told of how a command line may go on.
///
/// kubectl (from 1.26 on) asks the program `kubectl_complete-berth` for what may follow `kubectl berth`: it gets the words
/// so far, the last of which may be unfinished, and prints one candidate a line and then a directive of cobra.
package enum Completion {
    package enum Directive: Int, Sendable {
        /// File names may follow too.
        case files = 0
        case noFiles = 4
    }

    package struct Answer: Hashable, Sendable {
        package var candidates: [String]
        package var directive: Directive

        /// What is printed.
        package var text: String { candidates.map { $0 + "\n" }.joined() + ":\(directive.rawValue)\n" }
    }

    private struct Subcommand {
        var options: [String]
        /// Its arguments may be pools.
        var takesPools: Bool
    }

    private static let subcommands: [String: Subcommand] = [
        "status": Subcommand(options: [], takesPools: true),
        "who": Subcommand(options: ["--network"], takesPools: false),
        "explain": Subcommand(options: ["--config", "--pools"], takesPools: false),
        "check": Subcommand(options: ["--fix", "--yes", "--grace-period"], takesPools: true),
        "release": Subcommand(options: ["--network", "--force", "--yes"], takesPools: false),
        "free": Subcommand(options: ["--limit"], takesPools: true),
        "wait": Subcommand(options: ["--for", "--timeout"], takesPools: true),
        "version": Subcommand(options: ["--client"], takesPools: false),
    ]

    private static let commonOptions = [
        "--kubeconfig", "--context", "--namespace", "--system-namespace", "--output", "--color", "--request-timeout",
        "--help",
    ]

    /// Options that stand alone.
    private static let flags: Set = ["--fix", "--yes", "-y", "--force", "--client", "--help", "-h"]

    /// - Parameters:
    ///   - words: After `kubectl berth`; the last one is what is being written.
    ///   - pools: The names of the pools; asked for where they may follow.
    package static func answer(_ words: [String], pools: () -> [String]) -> Answer {
        let last = words.last ?? ""
        func among(_ candidates: [String]) -> Answer {
            Answer(candidates: candidates.filter { $0.hasPrefix(last) }.sorted(), directive: .noFiles)
        }
        let earlier = words.dropLast()
        if let option = earlier.last, option.hasPrefix("-"), !flags.contains(option), !option.contains("=") {
            switch option {
            case "-o", "--output": return among(OutputFormat.allCases.map(\.rawValue))
            case "--color": return among(["auto", "always", "never"])
            case "--for":
                return among(["free=", "condition=Ready", "condition=Exhausted=False", "state=Bound", "gone"])
            case "--kubeconfig", "--config": return Answer(candidates: [], directive: .files)
            case "--pools": return among(pools())
            default: return among([])
            }
        }
        guard let name = earlier.first(where: { subcommands[$0] != nil }), let subcommand = subcommands[name] else {
            return among(last.hasPrefix("-") ? commonOptions : Array(subcommands.keys))
        }
        if last.hasPrefix("-") { return among(subcommand.options + commonOptions) }
        return among(subcommand.takesPools ? pools().filter { !earlier.contains($0) } : [])
    }
}
