package import ControllerHTTP
import IPAMOperation
import JSONText
package import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
package import Logging

/// Where the webhook's certificates are kept, and who has to trust them.
package struct WebhookSettings: Sendable {
    package var namespace: String
    package var secret: String
    /// Of the ValidatingWebhookConfiguration.
    package var configuration: String
    /// DNS names of the webhook's Service.
    package var names: [String]
    /// For how long the API server may go on with the webhook configuration that it had.
    package var trustDelay: Duration = .seconds(20)

    package init(namespace: String, secret: String, configuration: String, names: [String]) {
        self.namespace = namespace
        self.secret = secret
        self.configuration = configuration
        self.names = names
    }
}

/// Makes, renews and spreads the webhook's certificates.
///
/// Flow: every replica shows what the Secret holds. The leader looks at the Secret at each change and once an hour; for
/// what `CertificatePlan` finds wrong it first lets the webhook configuration trust the new authority beside the old
/// ones, waits until the API server has learnt of that, and then writes the Secret on condition of the version that it
/// read. Where there was no Secret there is nothing that works and could be disturbed, and nobody waits.
///
/// Guarantees: the API server trusts a certificate before a replica shows it. A Secret that holds rubbish is replaced.
///
/// Errors: tried again; the webhook goes on with the certificate that it has.
package final class WebhookCertificates: Reconciler {
    package enum Key: Hashable, Sendable { case certificates }

    package let secrets = ObjectStore { CertificateSecret(secretData: $0["data"]) }
    /// The bundles that the webhook configuration trusts.
    package let bundles = ObjectStore { json in
        (json["webhooks"]?.array ?? []).map { $0["clientConfig"]?["caBundle"]?.string ?? "" }
    }

    private let settings: WebhookSettings
    private let source: CertificateSource
    private let writer: LedgerWriter
    private let logger: Logger
    private let now: @Sendable () -> Int64
    private static let interval: Duration = .seconds(3600)

    /// - Parameter now: Seconds since 1970.
    package init(
        _ settings: WebhookSettings, source: CertificateSource, writer: LedgerWriter, logger: Logger,
        now: @escaping @Sendable () -> Int64
    ) {
        self.settings = settings
        self.source = source
        self.writer = writer
        self.logger = logger
        self.now = now
        secrets.observe { [self] deltas in
            for delta in deltas { show(delta) }
        }
    }

    /// Follows the Secret and the webhook configuration, until the task is cancelled.
    package func watch(
        on connection: AsyncConnection, report: @escaping @Sendable (StaticString, WatcherReport) -> Void
    ) async throws {
        let secret = Watcher(
            WatchScope(
                .secrets, namespace: settings.namespace, fieldSelector: "metadata.name=\(settings.secret)"),
            on: connection, into: secrets
        ) { report("secret", $0) }
        let configuration = Watcher(
            WatchScope(
                .validatingWebhookConfigurations, fieldSelector: "metadata.name=\(settings.configuration)"),
            on: connection, into: bundles
        ) { report("webhook", $0) }
        try await withThrowingTaskGroup { group in
            group.addTask { try await secret.run() }
            group.addTask { try await configuration.run() }
            try await group.waitForAll()
        }
    }

    private func show(_ delta: ObjectDelta<CertificateSecret>) {
        switch delta {
        case .added(_, let object), .changed(_, _, let object):
            do {
                if try source.show(chain: object.value.certificate, key: object.value.key) {
                    logger.info("the webhook shows a new certificate", metadata: ["secret": "\(settings.secret)"])
                }
            } catch {
                logger.warning(
                    "the Secret holds no certificate that can be shown",
                    metadata: ["secret": "\(settings.secret)", "problem": "\(error)"])
            }
        case .deleted, .unreadable:
            logger.warning("the Secret of the webhook is gone", metadata: ["secret": "\(settings.secret)"])
        }
    }

    // MARK: The leader

    package func reconcile(_ key: Key) async throws -> Requeue {
        let object = secrets[ObjectKey(namespace: settings.namespace, name: settings.secret)]
        let (secret, version): (CertificateSecret?, StoredObject<CertificateSecret>?) =
            if case .present(let object) = object { (object.value, object) } else { (nil, nil) }
        let plan = CertificatePlan(for: secret, names: settings.names, now: now())
        var generator = SystemRandomNumberGenerator()
        let renewed = try plan.carriedOut(on: secret, names: settings.names, now: now(), using: &generator)
        var isTrustNew = false
        if let bundle = (renewed ?? secret)?.caBundle { isTrustNew = try await trust(bundle) }
        if let renewed {
            if isTrustNew, plan != .renewAll(.absent) {
                let clock = writer.client.clock
                try await clock.sleep(until: clock.now() + settings.trustDelay)
            }
            logger.notice("renewing the certificates of the webhook", metadata: ["plan": "\(plan)"])
            guard try await write(renewed, over: version) == .done else { return .after(.seconds(1)) }
        }
        return .after(Self.interval)
    }

    /// Lets every webhook of the configuration trust a bundle. Without the configuration there is nothing to trust it.
    ///
    /// - Returns: Whether that was news.
    private func trust(_ bundle: String) async throws -> Bool {
        let name = settings.configuration
        guard case .present(let known) = bundles[ObjectKey(name: name)], known.value.contains(where: { $0 != bundle })
        else { return false }
        _ = try await writer.client.modify(
            .validatingWebhookConfigurations, name: name, deadline: try writer.deadline()
        ) { object in
            var webhooks = object["webhooks"]?.array ?? []
            guard webhooks.contains(where: { $0["clientConfig"]?["caBundle"]?.string != bundle }) else { return .leave }
            for index in webhooks.indices { webhooks[index]["clientConfig"]?["caBundle"] = .string(bundle) }
            var object = object
            object["webhooks"] = .array(webhooks)
            return .update(object)
        }
        logger.info("the webhook configuration trusts the authority", metadata: ["configuration": "\(name)"])
        return true
    }

    private func write(
        _ secret: CertificateSecret, over version: StoredObject<CertificateSecret>?
    ) async throws -> WriteOutcome {
        let (namespace, name) = (settings.namespace, settings.secret)
        let deadline = try writer.deadline()
        do throws(APIError) {
            if let version {
                let metadata = ObjectMetadata(name: name, uid: version.uid, resourceVersion: version.resourceVersion)
                _ = try await writer.client.patch(
                    .secrets, namespace: namespace, name: name,
                    patch: Patch.merge(["data": secret.secretData]).conditional(on: metadata), deadline: deadline)
            } else {
                let object: JSON = [
                    "apiVersion": "v1", "kind": "Secret", "type": .string(CertificateSecret.type),
                    "metadata": [
                        "name": .string(name), "namespace": .string(namespace),
                        "labels": ["app.kubernetes.io/name": "berth"],
                    ],
                    "data": secret.secretData,
                ]
                _ = try await writer.client.create(
                    .secrets, namespace: namespace, name: name, object: object, deadline: deadline)
            }
            return .done
        } catch {
            if error.isConflict || error.isAlreadyExists || error.isNotFound { return .overtaken }
            throw error
        }
    }
}
