/// Why there is no configuration. The message names the file, what is wrong with it and what to do about it.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// A file is missing, or cannot be read.
        case unreadable
        case notJSON
        case yaml
        /// Something is missing, or has a value that it must not have.
        case invalid
        /// A feature of kubeconfig files that Berth does not have.
        case unsupported
    }

    package let kind: Kind
    package let message: String
    /// What the file is that the message begins with.
    package let subject: String

    package init(_ kind: Kind, _ message: String, subject: String = "kubeconfig") {
        self.kind = kind
        self.message = message
        self.subject = subject
    }

    package var description: String { message }
}
