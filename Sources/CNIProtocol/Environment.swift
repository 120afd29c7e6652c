/// The environment variables of a process, looked up one by one.
///
/// A dictionary of all of them would cost a third of the time that the plugin needs to answer VERSION.
package struct Environment: Sendable {
    private let lookUp: @Sendable (String) -> [UInt8]?

    /// - Parameter lookUp: The value of a variable, any bytes but NUL; nil where it is not set.
    package init(_ lookUp: @escaping @Sendable (String) -> [UInt8]?) { self.lookUp = lookUp }

    package init(_ variables: [String: String]) { lookUp = { variables[$0].map { Array($0.utf8) } } }

    /// A variable's value. What is not UTF-8 is repaired with U+FFFD, so that two values may become one: for texts that
    /// identify nothing, or that are checked against a list or a grammar without that character.
    package subscript(_ name: String) -> String? { lookUp(name).map { String(decoding: $0, as: UTF8.self) } }

    /// A variable's value; nil where it is not set.
    ///
    /// - Throws: Code 4, naming the variable, for what is not UTF-8.
    package func text(_ name: String) throws(CNIError) -> String? {
        guard let bytes = lookUp(name) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CNIError(
                code: CNIError.invalidEnvironment,
                message: "\(name) \"\(String(decoding: bytes, as: UTF8.self))\" is not UTF-8")
        }
        return text
    }
}

extension Environment: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral variables: (String, String)...) {
        lookUp = { name in variables.last { $0.0 == name }.map { Array($0.1.utf8) } }
    }
}
