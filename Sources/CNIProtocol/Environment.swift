/// The environment variables of a process, looked up one by one.
///
/// A dictionary of all of them would cost a third of the time that the plugin needs to answer VERSION.
package struct Environment: Sendable {
    private let lookUp: @Sendable (String) -> String?

    /// - Parameter lookUp: The value of a variable; nil where it is not set.
    package init(_ lookUp: @escaping @Sendable (String) -> String?) { self.lookUp = lookUp }

    package init(_ variables: [String: String]) { lookUp = { variables[$0] } }

    package subscript(_ name: String) -> String? { lookUp(name) }
}

extension Environment: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral variables: (String, String)...) {
        lookUp = { name in variables.last { $0.0 == name }?.1 }
    }
}
