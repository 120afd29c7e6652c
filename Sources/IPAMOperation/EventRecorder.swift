package import IPAMAPI
import JSONText
package import KubernetesClient
import KubernetesCore
package import Logging
import Synchronization

/// Events about pools, allocations and pods: what happened to one object for one reason within a second is one Event.
///
/// Guarantees: recording never waits. Not more than `maximumWaiting` Events are kept for an API server that does not
/// take them; later ones are dropped, and the log has them all.
package final class EventRecorder: Sendable {
    package struct Subject: Hashable, Sendable {
        var apiVersion: String
        var kind: String
        /// Nil for kinds without namespaces, about which Events are in the namespace `default`.
        var namespace: String?
        var name: String
        /// Empty where it is not known.
        var uid: String

        /// One of Berth's own objects.
        package init(kind: String, name: String, uid: String) {
            self.init(apiVersion: BerthAPI.apiVersion, kind: kind, namespace: nil, name: name, uid: uid)
        }

        package init(pod: PodReference) {
            self.init(apiVersion: "v1", kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid)
        }

        private init(apiVersion: String, kind: String, namespace: String?, name: String, uid: String) {
            self.apiVersion = apiVersion
            self.kind = kind
            self.namespace = namespace
            self.name = name
            self.uid = uid
        }
    }

    private struct Key: Hashable {
        var subject: Subject
        var reason: String
        var isWarning: Bool
    }

    private struct Batch {
        var messages: [String] = []
        var count = 0
    }

    private static let defaultNamespace = "default"
    private static let interval: Duration = .seconds(1)
    private static let maximumWaiting = 200
    /// For sending all that waits, so that a server that does not answer cannot hold up the end of the process.
    private static let timeout: Duration = .seconds(5)
    /// Messages that one Event quotes.
    private static let maximumQuoted = 5
    /// Of one Event's message, as the API server has it.
    private static let maximumLength = 1024

    private let client: AsyncClient
    private let component: String
    private let logger: Logger
    private let wallTime: @Sendable () -> String
    private let waiting = Mutex<[Key: Batch]>([:])

    package init(
        _ client: AsyncClient, component: String, logger: Logger, wallTime: @escaping @Sendable () -> String
    ) {
        self.client = client
        self.component = component
        self.logger = logger
        self.wallTime = wallTime
    }

    package func record(_ subject: Subject, reason: String, message: String, isWarning: Bool = false) {
        let key = Key(subject: subject, reason: reason, isWarning: isWarning)
        waiting.withLock { waiting in
            guard waiting[key] != nil || waiting.count < Self.maximumWaiting else { return }
            waiting[key, default: Batch()].count += 1
            if let count = waiting[key]?.messages.count, count < Self.maximumQuoted {
                waiting[key]?.messages.append(message)
            }
        }
    }

    /// Returns when its task is cancelled; what waits is sent before.
    package func run() async {
        while (try? await client.clock.sleep(until: client.clock.now() + Self.interval)) != nil { await flush() }
        await Task { await flush() }.value
    }

    private func flush() async {
        let batches = waiting.withLock { waiting in
            defer { waiting = [:] }
            return waiting
        }
        let deadline = client.clock.now() + Self.timeout
        for (key, batch) in batches {
            do {
                _ = try await client.create(
                    .events, namespace: key.subject.namespace ?? Self.defaultNamespace, name: nil,
                    object: object(key, batch),
                    deadline: deadline)
            } catch {
                logger.warning("an Event was not taken", metadata: ["reason": "\(key.reason)", "error": "\(error)"])
            }
        }
    }

    private func object(_ key: Key, _ batch: Batch) -> JSON {
        let rest = batch.count - batch.messages.count
        var message = batch.messages.joined(separator: "; ") + (rest > 0 ? "; and \(rest) more" : "")
        while message.utf8.count > Self.maximumLength { message.removeLast() }
        let time = wallTime()
        var subject: JSON = [
            "apiVersion": .string(key.subject.apiVersion), "kind": .string(key.subject.kind),
            "name": .string(key.subject.name),
        ]
        if let namespace = key.subject.namespace { subject["namespace"] = .string(namespace) }
        if !key.subject.uid.isEmpty { subject["uid"] = .string(key.subject.uid) }
        return [
            "apiVersion": "v1", "kind": "Event",
            "metadata": [
                "generateName": .string("\(key.subject.name.prefix(200))."),
                "namespace": .string(key.subject.namespace ?? Self.defaultNamespace),
            ],
            "involvedObject": subject, "reason": .string(key.reason), "message": .string(message),
            "type": key.isWarning ? "Warning" : "Normal", "count": .int(batch.count),
            "firstTimestamp": .string(time), "lastTimestamp": .string(time),
            "source": ["component": .string(component)], "reportingComponent": .string(component),
            "reportingInstance": .string(component),
        ]
    }
}
