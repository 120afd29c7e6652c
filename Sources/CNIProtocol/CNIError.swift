package import JSONText

/// What the plugin answers when it does not succeed: one of the codes below, and a sentence for an administrator.
///
/// kubelet shows `message; details` in the event of the pod. The code 999, which the reference plugins use for any
/// error of no class, is never used: typed throws leave no such error.
package struct CNIError: Error, Equatable, Sendable {
    /// One of ``allCodes``.
    package let code: Int
    package let message: String
    /// What there is to say beyond the message; empty when nothing.
    package let details: String

    package init(code: Int, message: String, details: String = "") {
        self.code = code
        self.message = message
        self.details = details
    }
}

// MARK: - Codes of the specification (spec 1.1.0, "Error")

extension CNIError {
    /// The configuration asks for a version of the specification that the plugin, or the verb, does not exist in.
    /// Remedy: set `cniVersion` to one of those that the details list.
    package static let incompatibleVersion = 1

    /// The configuration asks for what its version cannot express; the message holds the key and the value.
    /// Remedy: drop the field, or raise `cniVersion`.
    package static let unsupportedField = 2

    /// The container is not known. Answered only when nothing is claimed for it: the runtime then omits the DEL.
    package static let containerUnknown = 3

    /// An environment variable is missing or does not follow the rules for its value.
    /// Remedy: this is the runtime's, or the main plugin's, to mend.
    package static let invalidEnvironment = 4

    /// Standard input or a file could not be read or written.
    package static let inputOutput = 5

    /// The configuration is not JSON, or a member is of the wrong JSON type; the message names its path.
    package static let undecodable = 6

    /// The configuration can be read but not obeyed: a member is missing or its value makes no sense.
    package static let invalidConfiguration = 7

    /// Nothing is wrong with the request; the API server cannot be reached or is overloaded. The runtime tries again.
    package static let tryAgainLater = 11

    /// STATUS only: an ADD would not be served.
    package static let notAvailable = 50

    /// STATUS only: an ADD would not be served, and containers that run may lose their connectivity.
    package static let notAvailableAndDegraded = 51
}

// MARK: - Codes of this plugin

extension CNIError {
    /// A pool that was asked for does not exist, is disabled, is being deleted, is invalid, or is of the wrong family.
    /// Remedy: correct the pool, or the reference to it in the configuration or the pod's annotation.
    package static let poolUnusable = 100

    /// Every pool that may serve the attachment is full.
    /// Remedy: enlarge the pool or add another; `kubectl get ipallocations` shows who holds the addresses.
    package static let exhausted = 101

    /// A requested address is taken, lies outside every pool, or is one more than the attachment gets. Another address
    /// is never given instead.
    /// Remedy: request a free address of a pool that serves the attachment, or request none.
    package static let addressRefused = 102

    /// CHECK only: the ledger does not say that the attachment holds the addresses that its sandbox was given.
    /// Remedy: recreate the pod.
    package static let notHeld = 103

    /// The API server refused the plugin a permission (403). Refused credentials (401) are answered with
    /// ``tryAgainLater``, for a node's token is replaced while pods wait.
    /// Remedy: the message names the verb and the resource; bind the plugin's user to its ClusterRole.
    package static let forbidden = 104

    /// The API server's certificate is not signed by the authority that the kubeconfig gives, or is for another name.
    /// Remedy: give the kubeconfig the cluster's present authority and a server name that the certificate carries.
    package static let untrustedServer = 105

    /// An object of the ledger cannot be understood. It is left as it is.
    /// Remedy: the message names the object; correct it, or upgrade the plugin when a newer version wrote it.
    package static let ledgerMalformed = 106

    /// An annotation of the pod or of its namespace cannot be understood, or names a pool that it may not.
    /// Remedy: the message quotes the annotation; correct it.
    package static let annotationRefused = 107

    /// Every code that the plugin answers with.
    package static let allCodes: Set<Int> = [
        incompatibleVersion, unsupportedField, containerUnknown, invalidEnvironment, inputOutput, undecodable,
        invalidConfiguration, tryAgainLater, notAvailable, notAvailableAndDegraded, poolUnusable, exhausted,
        addressRefused, notHeld, forbidden, untrustedServer, ledgerMalformed, annotationRefused,
    ]
}

// MARK: - Conversions

extension CNIError {
    /// For a member of the wrong JSON type.
    package init(decoding error: JSONDecodingError) {
        self.init(code: Self.undecodable, message: "network configuration: \(error)")
    }

    /// For a member of the right type whose value cannot be used.
    package init(invalid error: JSONDecodingError) {
        self.init(code: Self.invalidConfiguration, message: "network configuration: \(error)")
    }

    /// Runs what reads members of the configuration; an error becomes one of code 6.
    package static func decoding<Value>(
        _ body: () throws(JSONDecodingError) -> Value
    ) throws(CNIError) -> Value {
        do {
            return try body()
        } catch {
            throw CNIError(decoding: error)
        }
    }

    /// The object for standard output (spec 1.1.0, "Error").
    package func json(version: CNIVersion) -> JSON {
        var json: JSON = ["cniVersion": .string(version.rawValue), "code": .int(code), "msg": .string(message)]
        if !details.isEmpty { json["details"] = .string(details) }
        return json
    }
}

extension CNIError: CustomStringConvertible {
    package var description: String {
        details.isEmpty ? "\(message) (code \(code))" : "\(message); \(details) (code \(code))"
    }
}
