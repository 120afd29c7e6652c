import IPAMAPI
import IPAMEngine
package import JSONText
import KubernetesClient
import KubernetesCore

/// What `version` shows.
package struct VersionReport: Hashable, Sendable, Report {
    package struct Component: Hashable, Sendable {
        /// For example `node agent`.
        package var name: String
        /// A node, or a replica.
        package var place: String
        /// Empty where it is not known.
        package var version: String
        package var detail: String

        package init(_ name: String, place: String = "", version: String, detail: String = "") {
            self.name = name
            self.place = place
            self.version = version
            self.detail = detail
        }
    }

    package var components: [Component]

    package init(_ components: [Component]) { self.components = components }

    package func text(_ style: Style, isWide: Bool) -> String {
        let rows = components.map { component -> [Cell] in
            let isKnown = !component.version.isEmpty
            let isSkewed =
                isKnown && component.name != "server" && !component.version.hasPrefix("v1")
                && component.version != ProductVersion.text
            return [
                Cell(component.name), Cell(component.place),
                Cell(isKnown ? component.version : "unknown", isSkewed ? .yellow : nil), Cell(component.detail),
            ]
        }
        return Table([.init("COMPONENT"), .init("PLACE"), .init("VERSION"), .init("DETAIL")], rows: rows)
            .rendered(style)
    }

    package var json: JSON {
        [
            "components": .array(
                components.map { component in
                    var json: JSON = ["name": .string(component.name)]
                    if !component.place.isEmpty { json["place"] = .string(component.place) }
                    json["version"] = component.version.isEmpty ? .null : .string(component.version)
                    if !component.detail.isEmpty { json["detail"] = .string(component.detail) }
                    return json
                })
        ]
    }

    package var names: [String] { components.map { "\($0.name)=\($0.version.isEmpty ? "unknown" : $0.version)" } }

    /// The tag of an image, or the digest where it has none.
    package static func tag(ofImage image: String) -> String {
        let name = image.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? image
        let parts = name.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if let colon = parts[0].firstIndex(of: ":") { return String(parts[0][parts[0].index(after: colon)...]) }
        return parts.count == 2 ? parts[1] : ""
    }
}

/// A report, with what kept it from being whole.
package struct VersionReading: Hashable, Sendable {
    package var report: VersionReport
    /// The first failure; nil when everything was read.
    package var failure: ConsoleError?
    /// The cluster told nothing.
    package var isVain: Bool

    init(_ report: VersionReport, attempts: VersionAttempts) {
        self.report = report
        failure = attempts.failures.first
        isVain = !attempts.failures.isEmpty && attempts.successes == 0
    }
}

/// Reads of which any may fail.
struct VersionAttempts {
    private(set) var successes = 0
    private(set) var failures: [ConsoleError]

    init(_ failures: [ConsoleError] = []) { self.failures = failures }

    mutating func attempt<Value>(_ body: () throws -> Value) -> Result<Value, ConsoleError> {
        do {
            let value = try body()
            successes += 1
            return .success(value)
        } catch {
            let failure =
                switch error {
                case let error as ConsoleError: error
                case let error as APIError: ConsoleError(error)
                default: ConsoleError("\(error)")
                }
            failures.append(failure)
            return .failure(failure)
        }
    }
}

/// Who leads by the Lease of the controller, as far as the clocks of two machines tell.
package enum Leadership: Hashable, Sendable {
    /// There is no Lease: no controller has run.
    case never
    /// It has a holder that renews it.
    case of(String)
    /// The holder has given it back, or has not renewed it for so long that it is gone; it is named where it is known.
    case nobody(last: String?)

    /// How many seconds the clock of the controller may be behind.
    private static let clockSkew: Int64 = 60

    /// - Parameters:
    ///   - lease: Nil where it is proven that there is none.
    ///   - wallClock: Seconds since 1970.
    package init(_ lease: JSON?, wallClock: Int64) {
        guard let lease else {
            self = .never
            return
        }
        let spec = lease["spec"]
        guard let holder = spec?["holderIdentity"]?.string, !holder.isEmpty else {
            self = .nobody(last: nil)
            return
        }
        let renewed = spec?["renewTime"]?.string.flatMap(Timestamp.parse)
        let duration = Int64(spec?["leaseDurationSeconds"]?.int ?? 0)
        let isOver = renewed.map { wallClock > $0 + duration + Self.clockSkew } ?? false
        self = isOver ? .nobody(last: holder) : .of(holder)
    }

    /// A predicate of the controller.
    package var text: String {
        switch self {
        case .of(let holder): "\(holder) leads"
        case .nobody(let last?): "no replica leads, last was \(last)"
        case .never, .nobody(nil): "no replica leads"
        }
    }
}

extension ResourceType {
    static let deployments = ResourceType(
        group: "apps", version: "v1", plural: "deployments", kind: "Deployment", isNamespaced: true)
}

extension ClusterReader {
    /// What `version` shows. What may not be read is not known. A server that cannot be reached is asked once.
    ///
    /// - Parameter wallClock: Seconds since 1970, for who leads.
    package func versions(systemNamespace: String, wallClock: Int64) -> VersionReading {
        var components = [VersionReport.Component("kubectl-berth", version: ProductVersion.text)]
        do throws(APIError) {
            components.append(try serverVersion())
        } catch {
            return VersionReading(VersionReport(components), attempts: VersionAttempts([ConsoleError(error)]))
        }
        var attempts = VersionAttempts()
        components += [ResourceType.ipPools, .ipAllocations, .ipReservations, .ipClaims, .ipBlocks].map {
            definition(of: $0, &attempts)
        }
        let (controller, namespace) = controller(systemNamespace, wallClock, &attempts)
        components += [controller] + agents(namespace, &attempts)
        return VersionReading(VersionReport(components), attempts: attempts)
    }

    /// What the server answers is no object of the API.
    private func serverVersion() throws(APIError) -> VersionReport.Component {
        let request = APIRequest(
            method: .get, path: "/version", headers: [.init("Accept", "application/json")],
            subject: .init(verb: .get, resource: .version))
        switch client.transport.perform([request], deadline: deadline)[0] {
        case .success(let response):
            let version = (try? JSON(parsing: response.body))?["gitVersion"]?.string ?? ""
            return .init("server", version: version, detail: version.isEmpty ? "HTTP \(response.status)" : "")
        case .failure(let failure): throw .transport(failure, request.subject)
        }
    }

    private func definition(of type: ResourceType, _ attempts: inout VersionAttempts) -> VersionReport.Component {
        let name = "\(type.plural).\(type.group)"
        switch attempts.attempt({ try read(.customResourceDefinitions, name: name) }) {
        case .success(nil):
            return .init("custom resource", place: name, version: "", detail: "is not installed")
        case .success(let json?):
            let versions = (json["spec"]?["versions"]?.array ?? []).filter { $0["served"]?.bool == true }
            return .init(
                "custom resource", place: name,
                version: versions.compactMap { $0["name"]?.string }.joined(separator: ","),
                detail: json["metadata"]?["labels"]?["app.kubernetes.io/version"]?.string.map { "of Berth \($0)" } ?? ""
            )
        case .failure(let error):
            return .init("custom resource", place: name, version: "", detail: error.problem)
        }
    }

    /// With the namespace that it is in, by its Lease.
    private func controller(
        _ systemNamespace: String, _ wallClock: Int64, _ attempts: inout VersionAttempts
    ) -> (VersionReport.Component, namespace: String) {
        let sighting = try? attempts.attempt {
            try controller(systemNamespace: systemNamespace, wallClock: wallClock)
        }.get()
        let leads = sighting?.leadership.text ?? "who leads is not known"
        let namespace = sighting?.namespace ?? systemNamespace
        func component(version: String, _ detail: String) -> (VersionReport.Component, namespace: String) {
            (.init("berth-controller", place: namespace, version: version, detail: detail), namespace)
        }
        switch attempts.attempt({ try read(.deployments, namespace: namespace, name: "berth-controller") }) {
        case .success(let json?):
            let image = json["spec"]?["template"]?["spec"]?["containers"]?.array?.first?["image"]?.string ?? ""
            let (ready, wanted) = (json["status"]?["readyReplicas"]?.int ?? 0, json["spec"]?["replicas"]?.int ?? 1)
            return component(
                version: VersionReport.tag(ofImage: image), "\(ready)/\(wanted) ready, \(leads)")
        case .success(nil):
            return component(
                version: "", sighting?.leadership == .never ? "is not installed" : "no Deployment; \(leads)")
        case .failure(let error): return component(version: "", error.problem)
        }
    }

    /// By the Leases of the agents; what they do not say, by the images of their pods.
    private func agents(_ namespace: String, _ attempts: inout VersionAttempts) -> [VersionReport.Component] {
        var images: [String: String] = [:]
        let pods = ListOptions(labelSelector: "app.kubernetes.io/name=berth,app.kubernetes.io/component=node")
        let found = try? list(.pods, namespace: namespace, options: pods) { json -> (String, String)? in
            guard let node = json["spec"]?["nodeName"]?.string,
                let image = json["spec"]?["containers"]?.array?.first?["image"]?.string
            else { return nil }
            return (node, image)
        }
        for (node, image) in found ?? [] { images[node] = image }
        let leases = attempts.attempt { try agentLeases(systemNamespace: namespace) { $0 }.found }
        guard case .success(let leases) = leases else {
            guard case .failure(let error) = leases else { return [] }
            return [.init("berth-node", place: namespace, version: "", detail: error.problem)]
        }
        var components: [VersionReport.Component] = []
        for lease in leases {
            let node = lease["metadata"]?["name"]?.string ?? ""
            let version = lease["metadata"]?["annotations"]?[AgentMark.versionAnnotation]?.string
            let renewed = lease["spec"]?["renewTime"]?.string ?? ""
            let image = images.removeValue(forKey: node)
            components.append(
                .init(
                    "berth-node", place: node, version: version ?? VersionReport.tag(ofImage: image ?? ""),
                    detail: renewed.isEmpty ? "" : "last heard of \(renewed)"))
        }
        for (node, image) in images {
            components.append(
                .init("berth-node", place: node, version: VersionReport.tag(ofImage: image), detail: "has no Lease"))
        }
        components.sort { $0.place < $1.place }
        return components.isEmpty ? [.init("berth-node", version: "", detail: "there is no node agent")] : components
    }
}

extension ResourceType {
    /// Not a resource; for messages.
    fileprivate static let version = ResourceType(
        group: "", version: "v1", plural: "version", kind: "Info", isNamespaced: false)
}
