import CNIProtocol
import Glibc
import IPAMAPI
import IPAMConfiguration
import IPAMEngine
import IPAMLedger
import IPAddressing
import KubernetesClient
import KubernetesCore

/// The verbs: configuration in, one transaction on the ledger, result out.
struct Plugin: CNIPlugin {
    let environment: Environment
    let startedAt: Moment

    func add(_ request: AttachmentRequest) throws(CNIError) -> CNIResult {
        let node = try NodeConfiguration(
            ipam: request.configuration.ipam, environment: environment, for: .claim)
        let addresses = try AddressConfiguration(request.configuration)
        try addresses.supports(request.version)
        let deadline = startedAt + node.timeout
        var ledger = try ledger(node, request.trace, Self.connection(node))
        let order = ClaimOrder(
            attachment: request.attachment, pod: try request.args.pod, netns: Host.sandbox(request.netns),
            demand: addresses.demand, families: addresses.families, master: addresses.master,
            heedsNamespace: node.heedsNamespaces, staticAddresses: addresses.staticAddresses,
            requested: request.requestedAddresses.map(\.address), startedAt: startedAt)
        let claimed = try ledger.logged("ADD", order.attachment) { ledger throws(LedgerError) in
            try ledger.claim(order, deadlines: ClaimDeadlines(answer: deadline, startedAt: startedAt))
        }
        ledger.log.log(
            .info, "ADD",
            [
                ("attachment", "\(order.attachment)"), ("pod", order.pod.map { "\($0.namespace)/\($0.name)" } ?? ""),
                ("addresses", claimed.held.map { "\($0.address)" }.joined(separator: ",")),
            ])
        return addresses.result(claimed)
    }

    /// Releases, or writes down that there is something to release. A missing kubeconfig or an API server that does not
    /// answer must not keep a pod from ending.
    func del(_ request: AttachmentRequest) throws(CNIError) { try release(request, wasReturned: true) }

    func discard(_ request: AttachmentRequest) throws(CNIError) { try release(request, wasReturned: false) }

    private func release(_ request: AttachmentRequest, wasReturned: Bool) throws(CNIError) {
        let node = try NodeConfiguration(
            ipam: request.configuration.ipam, environment: environment, for: .release)
        let transport = DeferredTransport {
            do throws(CNIError) {
                return try Self.connection(node)
            } catch {
                return UnusableTransport(reason: error.message)
            }
        }
        var ledger = try ledger(node, request.trace, transport)
        try ledger.logged("DEL", request.attachment) { ledger throws(LedgerError) in
            try ledger.delete(request.attachment, wasReturned: wasReturned)
        }
        ledger.log.log(.info, "DEL", [("attachment", "\(request.attachment)")])
    }

    func check(_ request: AttachmentRequest) throws(CNIError) {
        let node = try NodeConfiguration(ipam: request.configuration.ipam, environment: environment)
        var ledger = try ledger(node, request.trace, Self.connection(node))
        let configured = request.configuration.prevResult?.ips.map(\.address.address) ?? []
        try ledger.logged("CHECK", request.attachment) { ledger throws(LedgerError) in
            try ledger.check(request.attachment, configured: Set(configured), deadline: startedAt + node.timeout)
        }
    }

    func gc(_ request: NetworkRequest) throws(CNIError) {
        // An absent list is not an empty one: nothing is known to be garbage.
        guard let valid = request.configuration.validAttachments else { return }
        let network = request.configuration.name
        let node = try NodeConfiguration(ipam: request.configuration.ipam, environment: environment)
        var ledger = try ledger(node, request.trace, Self.connection(node))
        let attachments = valid.map {
            Attachment(networkName: network, containerID: $0.containerID, interface: $0.interface)
        }
        let failures = try ledger.logged("GC", nil) { ledger throws(LedgerError) in
            try ledger.collect(
                network: network, valid: Set(attachments), startedAt: startedAt, deadline: startedAt + node.timeout)
        }
        guard let first = failures.first else { return }
        let code = CNIError(first.error).code
        throw CNIError(
            code: code, message: "\(failures.count) attachments could not be released",
            details: failures.map { "\($0.attachment): \($0.error)" }.joined(separator: "; "))
    }

    func status(_ request: NetworkRequest) throws(CNIError) {
        let node = try NodeConfiguration(
            ipam: request.configuration.ipam, environment: environment, for: .claim)
        let addresses = try AddressConfiguration(request.configuration)
        let connection: Connection
        do throws(CNIError) {
            connection = try Self.connection(node)
        } catch {
            throw Self.notAvailable(error)
        }
        do throws(CNIError) {
            var ledger = try ledger(node, request.trace, connection)
            let order = ClaimOrder(
                attachment: Attachment(
                    networkName: request.configuration.name, containerID: "status", interface: "eth0"),
                pod: nil, netns: nil, demand: addresses.demand, families: addresses.families, master: addresses.master,
                staticAddresses: addresses.staticAddresses, startedAt: startedAt)
            try ledger.logged("STATUS", nil) { ledger throws(LedgerError) in
                try ledger.rehearse(order, deadline: startedAt + node.timeout)
            }
        } catch {
            let isConfiguration = error.code == CNIError.invalidConfiguration || error.code == CNIError.undecodable
            if isConfiguration { throw error }
            throw Self.notAvailable(error)
        }
    }

    private static func notAvailable(_ error: CNIError) -> CNIError {
        CNIError(
            code: CNIError.notAvailable, message: "an ADD would not be served: \(error.message)",
            details: error.details)
    }

    // MARK: Parts

    private static func connection(_ node: NodeConfiguration) throws(CNIError) -> Connection {
        do {
            return try Connection(ClientConfiguration.load(kubeconfigFile: node.kubeconfig))
        } catch {
            let code =
                switch error.kind {
                case .unreadable: CNIError.inputOutput
                case .notJSON, .yaml: CNIError.undecodable
                case .invalid, .unsupported: CNIError.invalidConfiguration
                }
            throw CNIError(code: code, message: "\(error.subject) \(error)")
        }
    }

    private func ledger(
        _ node: NodeConfiguration, _ trace: TraceContext?, _ transport: any Transport
    ) throws(CNIError) -> Ledger {
        let machineID = try node.machineID()
        let journal = Journal(
            folder: node.journalFolder, bootID: Host.bootID, node: node.nodeName, machineID: machineID,
            now: { Moment.now() })
        return Ledger(
            transport: transport, journal: journal, node: node.nodeName, machineID: machineID,
            log: PluginLog(level: node.logLevel, file: node.logFile, traceID: trace?.traceID),
            isHostAddress: Host.owns, nodeAddresses: { node.nodeAddresses ?? Host.addresses() },
            wallClock: { Int64(time(nil)) })
    }
}

extension Ledger {
    /// Runs a transaction; a failure goes to the log and becomes the error that the runtime sees.
    fileprivate mutating func logged<Value>(
        _ verb: String, _ attachment: Attachment?, _ transaction: (inout Ledger) throws(LedgerError) -> Value
    ) throws(CNIError) -> Value {
        do throws(LedgerError) {
            return try transaction(&self)
        } catch {
            log.log(
                .error, "failed",
                [("verb", verb), ("attachment", attachment.map { "\($0)" } ?? ""), ("error", "\(error)")])
            throw CNIError(error)
        }
    }
}

extension AttachmentRequest {
    fileprivate var attachment: Attachment {
        Attachment(networkName: configuration.name, containerID: containerID, interface: interface)
    }
}

extension CNIArgs {
    /// The pod, where the runtime names one.
    fileprivate var pod: PodArguments? {
        get throws(CNIError) {
            switch (podNamespace, podName) {
            case (let namespace?, let name?): return PodArguments(namespace: namespace, name: name, uid: podUID)
            case (nil, nil): return nil
            // Podman gives the name of its container so.
            case (nil, .some) where podUID == nil && infraContainerID == nil: return nil
            default:
                throw CNIError(
                    code: CNIError.invalidEnvironment,
                    message: "CNI_ARGS: K8S_POD_NAMESPACE and K8S_POD_NAME must be given together")
            }
        }
    }
}
