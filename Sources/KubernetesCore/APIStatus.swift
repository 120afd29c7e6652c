package import JSONText

/// A `Status` (meta/v1), the object with which the API server reports a failure.
package struct APIStatus: Error, Equatable, Sendable {
    package struct Cause: Hashable, Sendable {
        /// The path of the member that is wrong, for example `metadata.uid`; empty when it is about none.
        package var field: String
        package var message: String
        /// For example `FieldValueInvalid` or `NamespaceTerminating`; empty without one.
        package var reason: String

        package init(field: String, message: String, reason: String = "") {
            self.field = field
            self.message = message
            self.reason = reason
        }
    }

    package struct Details: Hashable, Sendable {
        package var name: String?
        package var group: String?
        /// Despite its name nearly always the plural, such as `pods`.
        package var kind: String?
        package var uid: String?
        package var retryAfterSeconds: Int?
        package var causes: [Cause]

        package init(
            name: String? = nil, group: String? = nil, kind: String? = nil, uid: String? = nil,
            retryAfterSeconds: Int? = nil, causes: [Cause] = []
        ) {
            self.name = name
            self.group = group
            self.kind = kind
            self.uid = uid
            self.retryAfterSeconds = retryAfterSeconds
            self.causes = causes
        }
    }

    /// The HTTP status.
    package var code: Int
    /// For example `AlreadyExists`; may be empty.
    package var reason: String
    package var message: String
    package var details: Details

    package init(code: Int, reason: String, message: String, details: Details = Details()) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }

    /// Nil for anything but a Status that reports a failure. What is missing or of a wrong type in it is left out.
    package init?(_ json: JSON) {
        guard json["kind"]?.string == "Status", json["status"]?.string != "Success" else { return nil }
        code = json["code"]?.int ?? 0
        reason = json["reason"]?.string ?? ""
        message = json["message"]?.string ?? ""
        let details = json["details"]
        self.details = Details(
            name: details?["name"]?.string,
            group: details?["group"]?.string,
            kind: details?["kind"]?.string,
            uid: details?["uid"]?.string,
            retryAfterSeconds: details?["retryAfterSeconds"]?.int,
            causes: (details?["causes"]?.array ?? []).map {
                Cause(
                    field: $0["field"]?.string ?? "", message: $0["message"]?.string ?? "",
                    reason: $0["reason"]?.string ?? "")
            })
    }
}
