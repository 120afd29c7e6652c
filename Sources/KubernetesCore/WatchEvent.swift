package import JSONText

/// One line of a watch (meta/v1 WatchEvent).
package enum WatchEvent: Equatable, Sendable {
    case added(JSON)
    case modified(JSON)
    /// The object in its last state; its `resourceVersion` is that of the deletion.
    case deleted(JSON)
    /// Everything up to this version has been reported.
    case bookmark(resourceVersion: String)
    /// The watch has failed; the server ends it. A Status without a code has code 0.
    case error(APIStatus)

    /// - Parameter line: Without its newline.
    package init(parsing line: ArraySlice<UInt8>) throws(WatchEventError) {
        let json: JSON
        do {
            json = try line.withUnsafeBufferPointer { bytes throws(JSONSyntaxError) in try JSON(parsing: bytes) }
        } catch {
            throw WatchEventError("\(error)")
        }
        try self.init(json)
    }

    package init(_ json: JSON) throws(WatchEventError) {
        guard let type = json["type"]?.string else { throw WatchEventError("type: missing, or no string") }
        guard let object = json["object"], case .object = object else {
            throw WatchEventError("object: missing, or no object")
        }
        switch type {
        case "ADDED": self = .added(object)
        case "MODIFIED": self = .modified(object)
        case "DELETED": self = .deleted(object)
        case "BOOKMARK":
            guard let version = object["metadata"]?["resourceVersion"]?.string, !version.isEmpty else {
                throw WatchEventError("a bookmark without a resourceVersion")
            }
            self = .bookmark(resourceVersion: version)
        case "ERROR":
            self = .error(
                APIStatus(object) ?? APIStatus(code: 0, reason: "", message: "an error that is no Status: \(object)"))
        default: throw WatchEventError("type: \"\(type)\" is none that the API has")
        }
    }

    /// The version up to which everything has been reported once this event has been; nil for an error, and for an
    /// object without one, which no server sends.
    package var resourceVersion: String? {
        switch self {
        case .added(let object), .modified(let object), .deleted(let object):
            guard let version = object["metadata"]?["resourceVersion"]?.string, !version.isEmpty else { return nil }
            return version
        case .bookmark(let version): return version
        case .error: return nil
        }
    }
}

/// Why a line is not an event of a watch.
package struct WatchEventError: Error, Equatable, Sendable, CustomStringConvertible {
    package let problem: String

    package init(_ problem: String) { self.problem = problem }

    package var description: String { "not an event of a watch: \(problem)" }
}
