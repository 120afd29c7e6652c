package import KubernetesCore

/// Why a command cannot do what it was asked for: what is wrong with which thing, and what helps.
package struct ConsoleError: Error, Hashable, Sendable, CustomStringConvertible {
    package var problem: String
    /// Empty where there is nothing to advise.
    package var remedy: String

    package init(_ problem: String, remedy: String = "") {
        self.problem = problem
        self.remedy = remedy
    }

    /// A failure of a request, with what an administrator can do about it.
    package init(_ error: APIError) {
        self.init("\(error)", remedy: Self.remedy(for: error))
    }

    private static func remedy(for error: APIError) -> String {
        let group = error.subject.resource.group
        if error.isUnserved {
            return group == "ipam.berth.dev"
                ? "install Berth's custom resources: kubectl apply -k config/crd (with --validate=false before Kubernetes 1.31),"
                    + " or the Helm chart"
                : "the server does not know this kind of object"
        }
        switch error.disposition {
        case .stop(.forbidden):
            return error.subject.verb.isMutation
                ? "bind the ClusterRole berth-operator to this user" : "bind the ClusterRole berth-viewer to this user"
        case .stop(.unauthenticated): return "log in anew, or name another user's context with --context"
        case .stop(.untrusted):
            return "compare certificate-authority-data of the kubeconfig with the CA of the cluster"
        case .stop(.clientCertificate): return "renew the client certificate of the kubeconfig"
        case .transient: return "see whether the server answers: kubectl get --raw /readyz"
        case .notFound, .alreadyExists, .conflict, .expired, .invalid: return ""
        }
    }

    package var description: String { remedy.isEmpty ? problem : "\(problem)\n  → \(remedy)" }
}
