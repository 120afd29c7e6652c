import IPAMAPI
import JSONText
package import KubernetesClient
import KubernetesCore
package import Logging
import Synchronization

/// Events about pools and allocations: what happened to one object for one reason within a second is one Event.
///
/// Guarantees: recording never waits. Not more than `maximumWaiting` Events are kept for an API server that does not
/// take them; later ones are dropped, and the log has them all.
package final class EventRecorder: Sendable {
    package struct Subject: Hashable, Sendable {
        var kind: String
        var name: String
        var uid: String

        package init(kind: String, name: String, uid: String) {
            self.kind = kind
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

    /// The namespace of Events about objects that have none.
    private static let namespace = "default"
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
                    .events, namespace: Self.namespace, name: nil, object: object(key, batch),
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
            "apiVersion": .string(BerthAPI.apiVersion), "kind": .string(key.subject.kind),
            "name": .string(key.subject.name),
        ]
        if !key.subject.uid.isEmpty { subject["uid"] = .string(key.subject.uid) }
        return [
            "apiVersion": "v1", "kind": "Event",
            "metadata": [
                "generateName": .string("\(key.subject.name.prefix(200))."), "namespace": .string(Self.namespace),
            ],
            "involvedObject": subject, "reason": .string(key.reason), "message": .string(message),
            "type": key.isWarning ? "Warning" : "Normal", "count": .int(batch.count),
            "firstTimestamp": .string(time), "lastTimestamp": .string(time),
            "source": ["component": .string(component)], "reportingComponent": .string(component),
            "reportingInstance": .string(component),
        ]
    }
}
