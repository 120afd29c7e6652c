/// Which attachment a call is about, as the environment tells.
package struct CNIArguments: Hashable, Sendable {
    /// `CNI_CONTAINERID`
    package let containerID: String
    /// `CNI_NETNS`, a path; nil when empty, which it may be for DEL only.
    package let netns: String?
    /// `CNI_IFNAME`
    package let interface: String
    /// `CNI_ARGS`
    package let cniArgs: CNIArgs

    package init(containerID: String, netns: String?, interface: String, cniArgs: CNIArgs = CNIArgs()) {
        self.containerID = containerID
        self.netns = netns
        self.interface = interface
        self.cniArgs = cniArgs
    }

    /// A variable that is set but empty counts as missing, as in the reference plugins.
    ///
    /// - Throws: Code 4, naming every variable that is missing, or the first whose value breaks its rules.
    package init(environment: Environment, command: CNICommand) throws(CNIError) {
        func value(_ name: String) -> String { environment[name] ?? "" }

        let missing = command.requiredVariables.filter { value($0).isEmpty }
        guard missing.isEmpty else {
            throw CNIError(
                code: CNIError.invalidEnvironment,
                message: "\(command.rawValue): missing environment variables: \(missing.joined(separator: ", "))"
            )
        }
        let containerID = value("CNI_CONTAINERID")
        guard CNIName.isIdentifier(containerID) else {
            throw Self.invalid(
                "CNI_CONTAINERID", containerID, "must be letters, digits, '_', '.', '-', no symbol first")
        }
        let interface = value("CNI_IFNAME")
        if let problem = CNIName.problem(withInterface: interface) {
            throw Self.invalid("CNI_IFNAME", interface, problem)
        }
        let netns = value("CNI_NETNS")
        let args = value("CNI_ARGS")
        self.init(
            containerID: containerID,
            netns: netns.isEmpty ? nil : netns,
            interface: interface,
            cniArgs: command == .del ? CNIArgs(tolerating: args) : try CNIArgs(parsing: args)
        )
    }

    private static func invalid(_ variable: String, _ value: String, _ problem: String) -> CNIError {
        CNIError(code: CNIError.invalidEnvironment, message: "\(variable) \"\(value)\" \(problem)")
    }
}
