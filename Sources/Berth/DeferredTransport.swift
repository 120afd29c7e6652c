import KubernetesClient
import KubernetesCore

/// Makes the transport at the first request. Most DELs are repeated ones, which make none: they need no kubeconfig, no
/// libcurl and no OpenSSL.
final class DeferredTransport: Transport {
    private let make: () -> any Transport
    private lazy var transport = make()

    init(_ make: @escaping () -> any Transport) { self.make = make }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        transport.perform(requests, deadline: deadline)
    }

    func now() -> Moment { .now() }

    func sleep(until moment: Moment) { moment.sleep() }
}
