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
    /// For DEL only what names the attachment must follow its rules: what else was wrong has made the ADD fail.
    ///
    /// - Throws: Code 4, naming every variable that is missing, or the first whose value breaks its rules.
    package init(environment: Environment, command: CNICommand) throws(CNIError) {
        let missing = command.requiredVariables.filter { (environment[$0] ?? "").isEmpty }
        guard missing.isEmpty else {
            throw CNIError(
                code: CNIError.invalidEnvironment,
                message: "\(command.rawValue): missing environment variables: \(missing.joined(separator: ", "))"
            )
        }
        let containerID = try environment.text("CNI_CONTAINERID") ?? ""
        guard CNIName.isIdentifier(containerID) else {
            throw Self.invalid(
                "CNI_CONTAINERID", containerID, "must be letters, digits, '_', '.', '-', no symbol first")
        }
        guard containerID.utf8.count <= Self.maximumContainerIDLength else {
            throw CNIError(
                code: CNIError.invalidEnvironment,
                message: "CNI_CONTAINERID is longer than \(Self.maximumContainerIDLength) bytes:"
                    + " \(containerID.utf8.count), beginning with \"\(containerID.prefix(32))\"")
        }
        let interface = try environment.text("CNI_IFNAME") ?? ""
        if let problem = CNIName.problem(withInterface: interface) {
            throw Self.invalid("CNI_IFNAME", interface, problem)
        }
        if command == .del {
            self.init(
                containerID: containerID, netns: environment["CNI_NETNS"].flatMap { $0.isEmpty ? nil : $0 },
                interface: interface, cniArgs: CNIArgs(tolerating: environment["CNI_ARGS"] ?? ""))
            return
        }
        self.init(
            containerID: containerID, netns: try environment.text("CNI_NETNS").flatMap { $0.isEmpty ? nil : $0 },
            interface: interface, cniArgs: try CNIArgs(parsing: environment.text("CNI_ARGS") ?? ""))
    }

    /// The specification has no limit. Runtimes use up to 64 bytes, and an object's schema must have one.
    package static let maximumContainerIDLength = 256

    private static func invalid(_ variable: String, _ value: String, _ problem: String) -> CNIError {
        CNIError(code: CNIError.invalidEnvironment, message: "\(variable) \"\(value)\" \(problem)")
    }
}
