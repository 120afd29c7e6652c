package import JSONText

/// The network configuration that the runtime writes to standard input, as far as it concerns the protocol.
///
/// It is the whole configuration of the main plugin, so members that are unknown here are ignored. What `ipam` holds is
/// for the plugin to parse.
package struct NetworkConfiguration: Sendable {
    package let cniVersion: CNIVersion
    /// Follows ``CNIName/isIdentifier(_:)``.
    package let name: String
    /// The members of the `ipam` section; errors about them name their path from the root.
    package let ipam: JSONFields
    /// Empty for DEL and GC, which release whatever was asked for.
    package let runtimeConfig: RuntimeConfiguration
    /// `args.cni.ips`; empty for DEL and GC.
    package let argumentIPs: [RequestedAddress]
    /// Always present for CHECK. For other verbs nil also when it cannot be understood.
    package let prevResult: CNIResult?
    /// What GC must leave alone. Nil when the list is absent or null, which frees nothing; an empty list frees everything.
    package let validAttachments: [ValidAttachment]?
    /// The whole document.
    package let raw: JSONFields

    /// - Throws: Code 1, 6 or 7. DEL and GC are lenient towards what only an ADD uses: the release of what an earlier
    ///   configuration claimed must not fail because the present one is wrong.
    package init(_ fields: JSONFields, for command: CNICommand) throws(CNIError) {
        raw = fields
        cniVersion = try Self.version(fields)
        guard command.since <= cniVersion else {
            throw CNIError(
                code: CNIError.incompatibleVersion,
                message: "\(command.rawValue) does not exist in cniVersion \(cniVersion.rawValue)",
                details: "it came with \(command.since.rawValue)"
            )
        }
        name = try Self.name(fields)
        guard let ipam = try CNIError.decoding({ () throws(JSONDecodingError) in try fields.fields("ipam") }) else {
            throw CNIError(invalid: fields.error("ipam", "missing"))
        }
        self.ipam = ipam

        switch command {
        case .add, .check, .status, .version:
            runtimeConfig = try Self.runtimeConfiguration(fields)
            argumentIPs = try Self.argumentIPs(fields)
        case .del, .gc:
            runtimeConfig = RuntimeConfiguration()
            argumentIPs = []
        }
        prevResult = try Self.previousResult(fields, isRequired: command == .check)
        validAttachments = try command == .gc ? Self.validAttachments(fields) : nil
    }

    /// The version that the document asks for. An absent or empty one is 0.1.0.
    ///
    /// - Throws: Code 6 when it is no string, code 1 when it is not supported.
    static func version(_ fields: JSONFields) throws(CNIError) -> CNIVersion {
        let text = try CNIError.decoding { () throws(JSONDecodingError) in try fields.string("cniVersion") } ?? ""
        if text.isEmpty { return .assumed }
        guard let version = CNIVersion(rawValue: text) else {
            throw CNIError(
                code: CNIError.incompatibleVersion,
                message: "cniVersion \"\(text)\" is not supported",
                details: "supported versions: \(CNIVersion.list)"
            )
        }
        return version
    }

    private static func name(_ fields: JSONFields) throws(CNIError) -> String {
        let name = try CNIError.decoding { () throws(JSONDecodingError) in try fields.string("name") } ?? ""
        guard !name.isEmpty else {
            throw CNIError(invalid: fields.error("name", "missing"))
        }
        guard CNIName.isIdentifier(name) else {
            let rule = "must be letters, digits, '_', '.', '-', no symbol first"
            throw CNIError(invalid: fields.error("name", "\"\(name)\" \(rule)"))
        }
        return name
    }

    private static func runtimeConfiguration(_ fields: JSONFields) throws(CNIError) -> RuntimeConfiguration {
        let section = try CNIError.decoding { () throws(JSONDecodingError) in try fields.fields("runtimeConfig") }
        guard let section else { return RuntimeConfiguration() }
        return try RuntimeConfiguration(section)
    }

    private static func argumentIPs(_ fields: JSONFields) throws(CNIError) -> [RequestedAddress] {
        let section = try CNIError.decoding { () throws(JSONDecodingError) in
            try fields.fields("args")?.fields("cni")
        }
        guard let section else { return [] }
        return try RuntimeConfiguration.addresses(section, "ips")
    }

    private static func previousResult(_ fields: JSONFields, isRequired: Bool) throws(CNIError) -> CNIResult? {
        guard let json = fields.value("prevResult") else {
            guard isRequired else { return nil }
            throw CNIError(invalid: fields.error("prevResult", "missing, and CHECK compares with it"))
        }
        do {
            return try CNIResult(prevResult: json, path: fields.path(of: "prevResult"))
        } catch {
            guard isRequired else { return nil }
            throw error
        }
    }

    /// libcni writes the list under two names. Should they differ, an attachment in either is valid.
    private static func validAttachments(_ fields: JSONFields) throws(CNIError) -> [ValidAttachment]? {
        try CNIError.decoding { () throws(JSONDecodingError) in
            let lists = [try fields.list("cni.dev/valid-attachments"), try fields.list("cni.dev/attachments")]
            var attachments: [ValidAttachment]?
            var seen: Set<ValidAttachment> = []
            for list in lists {
                guard let list else { continue }
                var union = attachments ?? []
                for element in list {
                    let attachment = ValidAttachment(
                        containerID: try element.requiredString("containerID"),
                        interface: try element.requiredString("ifname")
                    )
                    if seen.insert(attachment).inserted { union.append(attachment) }
                }
                attachments = union
            }
            return attachments
        }
    }
}

/// An attachment that still exists, as the runtime tells GC.
package struct ValidAttachment: Hashable, Sendable {
    package let containerID: String
    package let interface: String

    package init(containerID: String, interface: String) {
        self.containerID = containerID
        self.interface = interface
    }
}
