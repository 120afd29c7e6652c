/// What the verbs do. The dispatcher has validated everything that is the protocol's before it calls one of these.
///
/// Nothing but the answer goes to standard output, and the dispatcher writes that. The methods log to standard error or a
/// file.
package protocol CNIPlugin {
    /// Gives the attachment its addresses, or those that it has already. A failure leaves nothing claimed.
    ///
    /// Call ``CNIResult/supports(version:v4Count:v6Count:)`` before claiming.
    func add(_ request: AttachmentRequest) throws(CNIError) -> CNIResult

    /// Frees every address of the attachment; success when there is none.
    func del(_ request: AttachmentRequest) throws(CNIError)

    /// Succeeds when the ledger says that the attachment holds what it was given, and `prevResult` contains that.
    func check(_ request: AttachmentRequest) throws(CNIError)

    /// Frees what attachments of this network on this node hold that are not in `validAttachments`.
    func gc(_ request: NetworkRequest) throws(CNIError)

    /// Succeeds exactly when an ADD would be served; else throws code 50 or 51.
    func status(_ request: NetworkRequest) throws(CNIError)

    /// Undoes an ``add(_:)`` that succeeded but whose result could not be written, so that for the runtime it failed. Not
    /// called for a result that is repeated. Calls ``del(_:)`` unless implemented.
    func discard(_ request: AttachmentRequest) throws(CNIError)
}

extension CNIPlugin {
    package func discard(_ request: AttachmentRequest) throws(CNIError) { try del(request) }
}

/// An ADD, DEL or CHECK.
package struct AttachmentRequest: Sendable {
    package let configuration: NetworkConfiguration
    package let arguments: CNIArguments
    /// What the runtime asks for by ``NetworkConfiguration/requestedAddresses(_:)``; empty unless this is an ADD.
    package let requestedAddresses: [RequestedAddress]
    package let trace: TraceContext?

    package init(
        configuration: NetworkConfiguration, arguments: CNIArguments, requestedAddresses: [RequestedAddress] = [],
        trace: TraceContext? = nil
    ) {
        self.configuration = configuration
        self.arguments = arguments
        self.requestedAddresses = requestedAddresses
        self.trace = trace
    }

    package var version: CNIVersion { configuration.cniVersion }
    package var containerID: String { arguments.containerID }
    /// Nil when empty, which it may be for DEL only.
    package var netns: String? { arguments.netns }
    package var interface: String { arguments.interface }
    package var args: CNIArgs { arguments.cniArgs }
}

/// A GC or STATUS.
package struct NetworkRequest: Sendable {
    package let configuration: NetworkConfiguration
    package let trace: TraceContext?

    package init(configuration: NetworkConfiguration, trace: TraceContext? = nil) {
        self.configuration = configuration
        self.trace = trace
    }

    package var version: CNIVersion { configuration.cniVersion }
}
