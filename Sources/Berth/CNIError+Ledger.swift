import CNIProtocol
import IPAMAPI
import IPAMLedger
import KubernetesCore

extension CNIError {
    /// What the runtime is told of a ledger's failure: each class of failure has one code.
    init(_ error: LedgerError) {
        switch error {
        case .api(let failure, let attempts):
            let text = attempts > 1 ? "\(failure) (after \(attempts) attempts)" : "\(failure)"
            self = CNIError.api(failure, text)
        case .deadline, .podChanged, .claimBusy, .deleted, .busy, .poolsChanged:
            self.init(code: CNIError.tryAgainLater, message: "\(error)")
        case .poolUnusable:
            self.init(
                code: CNIError.poolUnusable, message: "\(error)",
                details: "`kubectl berth explain` of the pod shows each pool, and why it does not serve")
        case .annotation:
            self.init(
                code: CNIError.annotationRefused, message: "\(error)",
                details: "correct the annotation; the container runtime tries again")
        case .exhausted(let fills):
            self.init(
                code: CNIError.exhausted, message: "\(error)",
                details: fills.allSatisfy { $0.limit != nil }
                    ? "end pods of the namespace, raise the pool's spec.namespaceQuota, or name another pool behind it"
                    : "add a range or a pool, or remove pods; `kubectl get ipallocations` shows the holders")
        case .addressRefused:
            self.init(
                code: CNIError.addressRefused, message: "\(error)",
                details: "another address is never given instead; `kubectl berth who` shows who has an address")
        case .notHeld:
            self.init(code: CNIError.notHeld, message: "\(error)")
        case .malformed:
            self.init(
                code: CNIError.ledgerMalformed, message: "\(error)",
                details: "correct the object, or delete it when nothing uses the address any more")
        case .journal(let failure) where failure.isDamage:
            self.init(
                code: CNIError.inputOutput, message: "\(error)", details: "damaged; the next call rebuilds it")
        case .journal:
            self.init(
                code: CNIError.inputOutput, message: "\(error)",
                details: "the journal needs a writable folder with free space; see journalDir in berth.conf")
        }
    }

    private static func api(_ error: APIError, _ text: String) -> CNIError {
        switch error.disposition {
        case .stop(.forbidden) where error.isNamespaceTerminating:
            CNIError(code: tryAgainLater, message: text, details: "the pod's namespace is being deleted")
        case .stop(.forbidden):
            CNIError(
                code: forbidden, message: text,
                details: "missing permission: \(error.subject); the ClusterRoles in config/rbac grant it")
        case .stop(.unauthenticated):
            // A node agent replaces the token, so trying again is right.
            CNIError(
                code: tryAgainLater, message: text,
                details: "401: the token in the kubeconfig or its tokenFile was not accepted; replace it")
        case .stop(.untrusted):
            CNIError(
                code: untrustedServer, message: text,
                details: "the kubeconfig's certificate-authority must be the one that signed the server's certificate")
        case .stop(.clientCertificate):
            CNIError(code: invalidConfiguration, message: text)
        case .transient where error.isUnserved && error.subject.resource.group == BerthAPI.group:
            CNIError(
                code: tryAgainLater,
                message: "the API server does not know \(error.subject.resource.apiVersion): are the CRDs installed"
                    + " (config/crd)?",
                details: text)
        case .transient where error.isUnserved && error.subject.resource.group == KubeVirt.group:
            CNIError(
                code: tryAgainLater, message: text,
                details: "the pod is of a \(error.subject.resource.kind), which the API server does not serve: is"
                    + " KubeVirt installed? The annotation \(AnnotationKey.sticky): \"false\" lets the pod do without a claim"
            )
        case .transient where error.status?.code == 404:
            CNIError(
                code: tryAgainLater, message: text,
                details: "the API server does not serve this resource; are the CRDs of config/crd installed?")
        case .transient, .notFound, .conflict, .alreadyExists, .expired:
            CNIError(code: tryAgainLater, message: text)
        case .invalid:
            CNIError(code: ledgerMalformed, message: text)
        }
    }
}
