import KubernetesClient
import KubernetesCore

/// Carries the ledger's requests with the plugin's credentials, as they are when the request is made.
final class PluginTransport: Transport {
    private let plugin: PluginConnection

    init(_ plugin: PluginConnection) { self.plugin = plugin }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        do throws(ConfigurationError) {
            return try plugin.open().connection.perform(requests, deadline: deadline)
        } catch {
            return requests.map { _ in
                .failure(
                    TransportFailure(kind: .clientCertificate, message: "\(error)", mayHaveBeenSent: false))
            }
        }
    }

    func now() -> Moment { .now() }

    func sleep(until moment: Moment) { moment.sleep() }
}
