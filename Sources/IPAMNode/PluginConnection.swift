import ControllerHTTP
import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore

/// The API server as the plugin reaches it: by the kubeconfig and the token on the host.
///
/// One value serves one thread.
final class PluginConnection {
    private let kubeconfig: String
    private var current: (configuration: ClientConfiguration, connection: Connection)?

    init(kubeconfig: String) { self.kubeconfig = kubeconfig }

    /// The same one for as long as what it is made from stays the same.
    func open() throws(ConfigurationError) -> (connection: Connection, token: String?) {
        var configuration = try ClientConfiguration.load(kubeconfigFile: kubeconfig)
        configuration.userAgent = "berth-node/\(ProductVersion.text)"
        if let current, current.configuration.serves(as: configuration) {
            return (current.connection, configuration.token)
        }
        let connection = try Connection(configuration)
        current = (configuration, connection)
        return (connection, configuration.token)
    }
}

extension ClientConfiguration {
    fileprivate func serves(as other: ClientConfiguration) -> Bool {
        server == other.server && caPEM == other.caPEM && token == other.token && proxyURL == other.proxyURL
            && tlsServerName == other.tlsServerName
    }
}

/// Asks the API server what an ADD would ask it, with the plugin's own credentials.
///
/// Flow: each look lists one allocation; once in a while, and after a failure, it asks whether the plugin may write.
struct LiveCheck {
    struct Answer: Sendable {
        /// What keeps an ADD from working; nil when nothing does.
        var problem: String?
        /// The token, when the server does not accept it.
        var refusedToken: String?
    }

    static let patience: Duration = .seconds(5)
    /// Between two questions about permissions, which do not change by themselves.
    static let permissionInterval: Duration = .seconds(300)
    /// What an ADD and a DEL do.
    private static let permissions: [(verb: String, resource: ResourceType)] =
        ["create", "update", "patch", "delete"].map { ($0, .ipAllocations) } + [("get", .ipPools), ("get", .pods)]
    private static let accessReviews = ResourceType(
        group: "authorization.k8s.io", version: "v1", plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview", isNamespaced: false)

    private var permittedUntil: Moment?

    mutating func ask(_ plugin: PluginConnection) -> Answer {
        do throws(ConfigurationError) {
            let (connection, token) = try plugin.open()
            return ask(connection, token)
        } catch {
            permittedUntil = nil
            return Answer(problem: "\(error)")
        }
    }

    private mutating func ask(_ connection: Connection, _ token: String?) -> Answer {
        let client = Client(connection)
        let now = connection.now()
        do throws(APIError) {
            _ = try client.list(.ipAllocations, options: ListOptions(limit: 1), deadline: now + Self.patience)
            if permittedUntil.map({ now < $0 }) == true { return Answer() }
            permittedUntil = nil
            for (verb, resource) in Self.permissions
            where try !isAllowed(verb, resource, client, deadline: now + Self.patience) {
                return Answer(
                    problem: "the plugin may not \(verb) \(resource.plural); the ClusterRoles of config/rbac grant it")
            }
            permittedUntil = now + Self.permissionInterval
            return Answer()
        } catch {
            permittedUntil = nil
            return Answer(problem: "\(error)", refusedToken: error.isUnauthorized ? token : nil)
        }
    }

    private func isAllowed(
        _ verb: String, _ resource: ResourceType, _ client: Client, deadline: Moment
    ) throws(APIError) -> Bool {
        let review: JSON = [
            "apiVersion": .string(Self.accessReviews.apiVersion), "kind": .string(Self.accessReviews.kind),
            "spec": [
                "resourceAttributes": [
                    "group": .string(resource.group), "resource": .string(resource.plural), "verb": .string(verb),
                ]
            ],
        ]
        let answer = try client.create(Self.accessReviews, name: nil, object: review, deadline: deadline)
        return answer["status"]?["allowed"]?.bool ?? false
    }
}
