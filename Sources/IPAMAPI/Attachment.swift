package import JSONText

/// One interface of one sandbox in one network: what owns an address.
///
/// A pod may have several, at once (several networks) and one after another (a sandbox that was replaced). So addresses
/// are released by attachment, never by the pod's name or UID.
package struct Attachment: Hashable, Sendable {
    /// The `name` of the CNI network configuration.
    package var networkName: String
    /// `CNI_CONTAINERID`
    package var containerID: String
    /// `CNI_IFNAME`
    package var interface: String

    package init(networkName: String, containerID: String, interface: String) {
        self.networkName = networkName
        self.containerID = containerID
        self.interface = interface
    }

    /// 32 hexadecimal digits of the SHA-256 of all three: a label value and a file name.
    package var digest: String { SHA256.hex(of: [networkName, containerID, interface], digits: 32) }
}

extension Attachment: CustomStringConvertible {
    package var description: String { "interface \(interface) of container \(containerID) in network \(networkName)" }
}

extension Attachment {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        networkName = try fields.requiredString("networkName")
        containerID = try fields.requiredString("containerID")
        interface = try fields.requiredString("interface")
    }

    /// The member `attachment` of an allocation's spec.
    package var json: JSON {
        [
            "containerID": .string(containerID), "interface": .string(interface),
            "networkName": .string(networkName),
        ]
    }
}

/// A pod by its names and its identity.
package struct PodReference: Hashable, Sendable {
    package var namespace: String
    package var name: String
    package var uid: String

    package init(namespace: String, name: String, uid: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }
}

extension PodReference {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        namespace = try fields.requiredString("namespace")
        name = try fields.requiredString("name")
        uid = try fields.requiredString("uid")
    }

    package var json: JSON { ["namespace": .string(namespace), "name": .string(name), "uid": .string(uid)] }
}

/// The IPClaim that an address is kept for.
package struct ClaimReference: Hashable, Sendable {
    package var namespace: String
    package var name: String
    package var uid: String

    package init(namespace: String, name: String, uid: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }
}

extension ClaimReference {
    package init(_ fields: JSONFields) throws(JSONDecodingError) {
        namespace = try fields.requiredString("namespace")
        name = try fields.requiredString("name")
        uid = try fields.requiredString("uid")
    }

    package var json: JSON { ["namespace": .string(namespace), "name": .string(name), "uid": .string(uid)] }

    /// What the claim is called in messages.
    package var subject: String { "IPClaim \"\(namespace)/\(name)\"" }
}
