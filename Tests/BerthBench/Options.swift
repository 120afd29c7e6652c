/// The parts of the benchmark, in the order in which they run: the one that fills the API server comes last.
enum Section: String, CaseIterable, Sendable {
    case startup, footprint, sequential, builds, selection, concurrent, requests, full, unreachable, filled, controller

    var summary: String {
        switch self {
        case .startup: "from exec to exit, without a request"
        case .footprint: "size of the executable, peak memory"
        case .sequential: "one ADD and one DEL after another"
        case .builds: "the same beside another build of the plugin (--against)"
        case .selection: "ADD that finds its pool among 200"
        case .concurrent: "10, 50 and 100 ADDs at once from 5 nodes"
        case .requests: "requests at the API server for each verb"
        case .full: "ADD in a pool of 1,000 with 5 addresses free"
        case .unreachable: "ADD and DEL while the API server hangs or refuses connections"
        case .filled: "ADD in pools with 10,000 and 60,000 addresses taken"
        case .controller: "berth-controller with 60,000 pods and allocations"
        }
    }
}

struct Options: Sendable {
    var sections: [Section] = Section.allCases
    /// Few runs and small pools.
    var isQuick = false
    /// Others use the API server too: it is not stopped, and what was made is deleted.
    var isShared = false
    var jsonFile: String?
    /// An earlier build of the plugin.
    var otherPlugin: String?

    static let help = """
        usage: BerthBench [--quick] [--only NAME]... [--against FILE] [--json FILE] [--shared]

          --quick         about a minute: few runs, and 2,000 addresses in place of 60,000
          --only NAME     that part alone; may be given more than once
          --against FILE  another build of the plugin, measured beside this one
          --json FILE     writes the figures there too, as JSON
          --shared        leaves the API server running and deletes what was made in it

        The parts:

        \(Section.allCases.map { "  \($0.rawValue)\(String(repeating: " ", count: 13 - $0.rawValue.count))\($0.summary)" }
            .joined(separator: "\n"))

        """

    /// nil where only the help is wanted.
    init?(_ arguments: [String]) throws(OptionsError) {
        var rest = arguments[...]
        var only: [Section] = []
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": return nil
            case "--quick": isQuick = true
            case "--shared": isShared = true
            case "--json":
                guard let file = rest.popFirst() else { throw OptionsError("--json: which file?") }
                jsonFile = file
            case "--against":
                guard let file = rest.popFirst(), file.hasPrefix("/") else {
                    throw OptionsError("--against: expected the absolute path of a build of the plugin")
                }
                otherPlugin = file
            case "--only":
                let name = rest.popFirst() ?? ""
                guard let section = Section(rawValue: name) else {
                    let names = Section.allCases.map(\.rawValue).joined(separator: ", ")
                    throw OptionsError("--only: \"\(name)\" is none of \(names)")
                }
                only.append(section)
            default: throw OptionsError("unknown argument: \(argument)")
            }
        }
        if !only.isEmpty { sections = Section.allCases.filter(only.contains) }
        if otherPlugin == nil { sections.removeAll { $0 == .builds } }
    }
}

struct OptionsError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
