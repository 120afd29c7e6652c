import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore

@testable import IPAMConsole

/// A server that has a few objects and changes none: what of `explain` is reading alone needs no more.
final class StoredObjects: Transport {
    /// By the plural of their kind.
    private let objects: [String: [JSON]]

    init(_ objects: [String: [JSON]]) { self.objects = objects }

    var reader: ClusterReader { ClusterReader(Client(self), timeout: .seconds(5)) }

    func now() -> Moment { .seconds(1) }
    func sleep(until moment: Moment) {}
    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] { requests.map(reply) }

    private func reply(_ request: APIRequest) -> Reply {
        let subject = request.subject
        let all = objects[subject.resource.plural] ?? []
        guard let name = subject.name else {
            return Self.reply(200, ["kind": "List", "apiVersion": "v1", "metadata": [:], "items": .array(all)])
        }
        let found = all.first { object in
            let metadata = object["metadata"]
            return metadata?["name"]?.string == name && metadata?["namespace"]?.string == subject.namespace
        }
        if let found { return Self.reply(200, found) }
        return Self.reply(
            404,
            [
                "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "reason": "NotFound",
                "message": "not found", "code": 404, "details": ["name": .string(name)],
            ])
    }

    private static func reply(_ status: Int, _ body: JSON) -> Reply {
        .success(HTTPResponse(status: status, body: body.serialized(), contentType: "application/json"))
    }
}

extension JSON {
    /// An object of the API.
    static func object(
        _ kind: String, _ name: String, namespace: String? = nil, spec: JSON = [:], labels: JSON = [:],
        annotations: JSON = [:]
    ) -> JSON {
        var metadata: JSON = [
            "name": .string(name), "uid": .string("uid-\(name)"), "generation": 1, "labels": labels,
            "annotations": annotations,
        ]
        metadata["namespace"] = namespace.map { .string($0) }
        return ["kind": .string(kind), "apiVersion": "v1", "metadata": metadata, "spec": spec]
    }
}
