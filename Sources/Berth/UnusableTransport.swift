import KubernetesClient
import KubernetesCore

/// Stands where a connection cannot be made for want of a usable kubeconfig, so that a DEL can still write down what is
/// to be released.
final class UnusableTransport: Transport {
    private let reason: String

    init(reason: String) { self.reason = reason }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        requests.map { _ in
            .failure(TransportFailure(kind: .clientCertificate, message: reason, mayHaveBeenSent: false))
        }
    }

    func now() -> Moment { .now() }

    func sleep(until moment: Moment) { moment.sleep() }
}
