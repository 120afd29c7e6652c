/// What `CNI_ARGS` says: `KEY=VALUE` segments joined by semicolons.
///
/// Values may contain `=`; empty segments are skipped. Multus sends every key twice, so a key may be repeated: its last
/// value that is not empty counts. Values are as the runtime wrote them, not validated.
package struct CNIArgs: Hashable, Sendable {
    /// `K8S_POD_NAMESPACE`; this and the following are nil when absent or empty, as for a container without a pod.
    package var podNamespace: String?
    /// `K8S_POD_NAME`
    package var podName: String?
    /// `K8S_POD_UID`. For a static pod it is kubelet's own, not that of the mirror pod.
    package var podUID: String?
    /// `K8S_POD_INFRA_CONTAINER_ID`
    package var infraContainerID: String?
    /// `IP`: addresses joined by commas.
    package var ip: String?
    /// `IgnoreUnknown`, when any repetition of it says `1` or `true`.
    package var ignoreUnknown = false

    package init() {}

    /// - Throws: Code 4 for a segment without `=` or without a key, and for an unknown key unless `IgnoreUnknown` is set.
    package init(parsing text: String) throws(CNIError) {
        let (args, problem) = Self.parse(text)
        if let problem { throw problem }
        self = args
    }

    /// What can be understood. For DEL, which must not fail for arguments that made the ADD fail: the pod could never
    /// end.
    package init(tolerating text: String) {
        self = Self.parse(text).args
    }

    private static func parse(_ text: String) -> (args: CNIArgs, problem: CNIError?) {
        var args = CNIArgs()
        var malformed: [String] = []
        var unknown: [String] = []
        for segment in text.split(separator: ";") {
            guard let equals = segment.firstIndex(of: "="), equals != segment.startIndex else {
                malformed.append("\"\(segment)\"")
                continue
            }
            let key = String(segment[..<equals])
            let value = String(segment[segment.index(after: equals)...])
            if !args.set(key, value), !unknown.contains(key) { unknown.append(key) }
        }
        return (args, problem(malformed: malformed, unknown: args.ignoreUnknown ? [] : unknown))
    }

    private static func problem(malformed: [String], unknown: [String]) -> CNIError? {
        if !malformed.isEmpty {
            return CNIError(
                code: CNIError.invalidEnvironment,
                message: "CNI_ARGS: not of the form KEY=VALUE: \(malformed.joined(separator: ", "))"
            )
        }
        if !unknown.isEmpty {
            return CNIError(
                code: CNIError.invalidEnvironment,
                message: "CNI_ARGS: unknown key \(unknown.joined(separator: ", "))",
                details: "the keys of others are accepted together with IgnoreUnknown=1"
            )
        }
        return nil
    }

    /// Whether the key is known.
    private mutating func set(_ key: String, _ value: String) -> Bool {
        let field: WritableKeyPath<CNIArgs, String?>
        switch key {
        case "IgnoreUnknown":
            if value == "1" || value.lowercased() == "true" { ignoreUnknown = true }
            return true
        case "K8S_POD_NAMESPACE": field = \.podNamespace
        case "K8S_POD_NAME": field = \.podName
        case "K8S_POD_UID": field = \.podUID
        case "K8S_POD_INFRA_CONTAINER_ID": field = \.infraContainerID
        case "IP": field = \.ip
        default: return false
        }
        if !value.isEmpty { self[keyPath: field] = value }
        return true
    }
}
